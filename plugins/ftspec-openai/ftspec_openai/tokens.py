"""Tokens of OpenAI's encoding o200k_base, counted on this machine where the wheel rs-bpe is installed.

How the service puts messages together is not published; OpenAI's cookbook counts three tokens around each message and
three before the answer, and so does this. A count is therefore close, and no promise.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from ftspec import api
from ftspec_openai.writing import CONTROL_TOKENS, text_of

AROUND = 3
BUNDLE = 1 << 20
"""Characters of texts that are counted at a time."""
START, END = "<|im_start|>", "<|im_end|>"


@contextmanager
def totals() -> Iterator[Totals | None]:
    """Something that adds up the tokens of examples; None where there is no tokenizer."""
    if find_spec("rs_bpe") is None:
        yield None
        return
    found = Totals()
    try:
        yield found
    finally:
        found.close()


class Totals:
    """Tokens of many examples together. They are counted in bundles by another process (see `counter`), so that a run
    that asks its models after it has written its files does not carry the encoding along."""

    def __init__(self) -> None:
        self._tokens = self._trained = self._held = 0
        self._texts: list[tuple[str, bool]] = []
        self._process: subprocess.Popen[bytes] | None = None

    def most(self, example: api.Example) -> int:
        """No fewer tokens than the example has."""
        return AROUND + sum(AROUND + len(text_of(message).encode()) for message, _ in _weighted(example))

    def one(self, example: api.Example) -> int:
        """The tokens of one example."""
        texts = [text_of(message) for message, _ in _weighted(example)]
        return AROUND + sum(AROUND + count for count in self._counts(texts))

    def add(self, example: api.Example) -> None:
        self._tokens += AROUND
        for message, weight in _weighted(example):
            text = text_of(message)
            self._tokens += AROUND
            self._held += len(text)
            self._texts.append((text, bool(weight)))
        if self._held >= BUNDLE:
            self._flush()

    def both(self) -> tuple[int, int]:
        """(all tokens, trained tokens) of what was added."""
        self._flush()
        return self._tokens, self._trained

    def close(self) -> None:
        """End the other process."""
        if self._process is not None:
            with suppress(OSError):  # it is gone already
                self._process.communicate()

    def _flush(self) -> None:
        if self._texts:
            counts = self._counts([text for text, _ in self._texts])
            self._tokens += sum(counts)
            self._trained += sum(count for count, (_, trained) in zip(counts, self._texts, strict=True) if trained)
        self._texts, self._held = [], 0

    def _counts(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text. Where the other process does not live, this one counts."""
        try:
            self._process = self._process or _start()
            return _asked(self._process, texts)
        except (OSError, TypeError, msgspec.DecodeError):
            return Tokenizer().counts(texts)


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("counter.py"))]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=api.without_secrets(),
        start_new_session=True,
    )
    _send(process, [each for each in sys.path if isinstance(each, str)])
    return process


def _asked(process: subprocess.Popen[bytes], texts: Sequence[str]) -> list[int]:
    _send(process, texts)
    assert process.stdout
    return msgspec.json.decode(process.stdout.readline(), type=list[int])


def _send(process: subprocess.Popen[bytes], said: Sequence[str]) -> None:
    assert process.stdin
    process.stdin.write(json.dumps(said).encode() + b"\n")
    process.stdin.flush()


def _counting(encoding: Any) -> Callable[[api.Example], tuple[int, int]]:
    def count(example: api.Example) -> tuple[int, int]:
        everything, trained = AROUND, 0
        for message, weight in _weighted(example):
            size = int(encoding.count(text_of(message)))
            everything += AROUND + size
            trained += size if weight else 0
        return everything, trained

    return count


class Tokenizer:
    """o200k_base as steps and checks use it: see `api.Tokenizer`."""

    special = CONTROL_TOKENS
    per_byte = 1.0
    """Byte-level BPE begins with one token per byte and only merges."""

    @cached_property
    def encoding(self) -> Any:
        """Loaded when something has to be counted: most rows are short enough by their bytes alone."""
        return _encoding()

    def counts(self, texts: Sequence[str]) -> list[int]:
        return [int(self.encoding.count(text)) for text in texts]

    def cut(self, text: str, most: int) -> str:
        """The longest beginning in whole characters: where the last token ends within one, that one goes too."""
        ids = self.encoding.encode(text)
        if len(ids) <= most:
            return text
        for end in range(most, 0, -1):
            piece = _decoded(self.encoding, ids[:end])
            if piece is not None and text.startswith(piece):
                return piece
        return ""

    def row(self, example: api.Example) -> tuple[int, int]:
        return _counting(self.encoding)(example)


def tokenizer() -> Tokenizer | None:
    """The tokenizer; None where the wheel is not installed."""
    return Tokenizer() if find_spec("rs_bpe") else None


def shown(example: api.Example) -> list[api.Token]:
    """Every token with its weight; marks of the conversation as the cookbook writes them, without an id."""
    if find_spec("rs_bpe") is None:
        raise api.ProviderError("tokens cannot be shown", "pip install './plugins/ftspec-openai[tokens]'")
    encoding = _encoding()
    tokens = []
    for message, weight in _weighted(example):
        tokens.append(api.Token(text=f"{START}{message.role}\n"))
        tokens += [api.Token(text=text, id=id_, weight=weight) for id_, text in _pieces(encoding, text_of(message))]
        tokens.append(api.Token(text=f"{END}\n"))
    return tokens


def _pieces(encoding: Any, text: str) -> Iterator[tuple[int, str]]:
    """(id, text) of each token; the parts of a character that fell apart are shown with its last one."""
    waiting: list[int] = []
    for id_ in encoding.encode(text):
        waiting.append(id_)
        piece = _decoded(encoding, waiting)
        yield id_, piece or ""
        if piece is not None:
            waiting = []


def _decoded(encoding: Any, ids: Sequence[int]) -> str | None:
    try:
        piece = encoding.decode(list(ids))
    except Exception:  # the wheel raises its own types for bytes that are no text yet
        return None
    return piece if isinstance(piece, str) and "\ufffd" not in piece else None


def _weighted(example: api.Example) -> Iterator[tuple[api.Message, float]]:
    """Each message with its weight: 1 where it is trained on, -1 where it is to be avoided."""
    learns = example.chosen is None and example.item is None
    for message in example.messages:
        trained = learns and message.role == "assistant" and message.weight != 0
        yield message, 1.0 if trained else 0.0
    yield from ((message, 1.0) for message in example.chosen or ())
    yield from ((message, -1.0) for message in example.rejected or ())


def _encoding() -> Any:
    from rs_bpe.bpe import openai

    return openai.o200k_base()
