"""Standard output and error with secrets masked, whoever in this process writes there.

What ftspec shows is masked before; plugins and the libraries that they use print too, warn, log, and let exceptions
end a thread, each of which goes to `sys.stderr` by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, Self, TextIO, cast


class _Before:
    """What stands before a stream, `unmasked`, and is like it in all that it does not do by itself."""

    unmasked: Any

    def __init__(self, unmasked: Any) -> None:
        self.unmasked = unmasked

    def __getattr__(self, name: str) -> Any:
        if name == "unmasked":  # of a copy that is only being made
            raise AttributeError(name)
        return getattr(self.unmasked, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unmasked.close()

    def writelines(self, lines: Iterable[Any]) -> None:
        """As of any stream."""
        for line in lines:
            self.write(line)


class Masked(_Before):
    """A text stream to which all goes with secrets masked."""

    def write(self, text: str) -> int:
        """As of any stream."""
        self.unmasked.write(_masked(text))
        return len(text)

    @property
    def buffer(self) -> MaskedBytes:
        """What lies below: click writes there where the encoding of the stream is ASCII."""
        return MaskedBytes(self.unmasked.buffer)


class MaskedBytes(_Before):
    """The same of a stream of bytes, in which secrets are looked for as UTF-8."""

    def write(self, data: Any) -> int:
        """As of any stream. What holds no secret is written as it is, whatever it is."""
        given = bytes(data)
        text = given.decode("utf-8", "surrogateescape")
        masked = _masked(text)
        self.unmasked.write(given if masked == text else masked.encode("utf-8", "surrogateescape"))
        return len(given)


def _masked(text: str) -> str:
    """Nothing is secret before there is a mask, which a mere `--help` does without."""
    references = sys.modules.get("ftspec.common.references")
    return references.mask(text) if references and text else text


def open_all() -> None:
    """A stream that was closed is an empty one, a character that its encoding lacks is spelled out, a secret masked."""
    sys.stdin = sys.stdin or os.fdopen(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")
    sys.stdout = _opened(sys.stdout)
    sys.stderr = _opened(sys.stderr)


def _opened(stream: TextIO | None) -> TextIO:
    stream = stream or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return stream if isinstance(stream, Masked) else cast(TextIO, Masked(stream))
