"""Tokens of OpenAI's encoding o200k_base, counted on this machine where the wheel rs-bpe is installed.

How the service puts messages together is not published; OpenAI's cookbook counts three tokens around each message and
three before the answer, and so does this. A count is therefore close, and no promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from ftspec import api
from ftspec_openai.writing import CONTROL_TOKENS, text_of

AROUND = 3
START, END = "<|im_start|>", "<|im_end|>"


def counter() -> Callable[[api.Example], tuple[int, int]] | None:
    """(all tokens, trained tokens) of an example; None where there is no tokenizer."""
    return _counting(_encoding()) if find_spec("rs_bpe") else None


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

    def __init__(self) -> None:
        self.encoding = _encoding()
        self.of_row = _counting(self.encoding)

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
        return self.of_row(example)


def tokenizer() -> Tokenizer | None:
    """The tokenizer; None where the wheel is not installed."""
    return Tokenizer() if find_spec("rs_bpe") else None


def shown(example: api.Example) -> list[api.Token]:
    """Every token with its weight; marks of the conversation as the cookbook writes them, without an id."""
    if find_spec("rs_bpe") is None:
        raise api.ProviderError("tokens cannot be shown", "pip install 'ftspec-openai[tokens]'")
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
