"""Standard output and error with secrets masked, whoever in this process writes there.

What ftspec shows is masked before; plugins and the libraries that they use print too, warn, log, and let exceptions
end a thread, each of which goes to `sys.stderr` by itself. What other processes and compiled code write goes past this.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, Self, TextIO, cast

MOST = 1 << 16
"""What is held back at most of a line that does not end."""
NAMES = {"<stdout>": "standard output", "<stderr>": "standard error"}
"""What people call streams, by the names that Python gives them."""


@contextmanager
def named(stream: Any) -> Iterator[None]:
    """What cannot be written meanwhile is named by the system's error, as a file is."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or NAMES.get(getattr(stream, "name", ""))
        raise


class _Before:
    """What stands before a stream, `unmasked`, and is like it in all that it does not do by itself.

    What is written waits for the end of its line, or to be flushed, for a secret may come in pieces. Python's own
    streams hold back as much, or more.
    """

    unmasked: Any
    none: Any = ""
    ends: tuple[Any, Any] = ("\n", "\r")

    def __init__(self, unmasked: Any) -> None:
        self.unmasked = unmasked
        self.waiting: deque[Any] = deque()
        self.held = 0

    def __getattr__(self, name: str) -> Any:
        if name == "unmasked":  # of a copy that is only being made
            raise AttributeError(name)
        return getattr(self.unmasked, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, given: Any) -> int:
        """As of any stream."""
        count = len(given)
        self.waiting.append(given)
        self.held += count
        if self.held > MOST:
            self.release()
        elif any(end in given for end in self.ends):
            self.release(lines=True)
        return count

    def writelines(self, lines: Iterable[Any]) -> None:
        """As of any stream."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As of any stream."""
        self.release()
        with named(self.unmasked):
            self.unmasked.flush()

    def close(self) -> None:
        """As of any stream."""
        if not self.unmasked.closed:
            self.flush()
        self.unmasked.close()

    def release(self, *, lines: bool = False) -> None:
        """Write what waits, or the `lines` of it that have ended. Without a lock: a signal's handler may write too."""
        parts = []
        with suppress(IndexError):
            while True:
                parts.append(self.waiting.popleft())
        given = self.none.join(parts)
        end = 1 + max(map(given.rfind, self.ends)) if lines else len(given)
        if rest := given[end:]:
            self.waiting.appendleft(rest)
        self.held = len(rest)
        if end:
            self.put(given[:end])

    def put(self, given: Any) -> None:
        """Write it masked."""
        with named(self.unmasked):
            self.unmasked.write(_masked(given))


class Masked(_Before):
    """A text stream to which all goes with secrets masked."""

    def write(self, given: Any) -> int:
        """As of any stream, which say by an error that they take no bytes."""
        if not isinstance(given, str):
            raise TypeError(f"write() argument must be str, not {type(given).__name__}")
        return super().write(given)

    @cached_property
    def buffer(self) -> MaskedBytes:
        """What lies below: click writes there where the encoding of the stream is ASCII."""
        return MaskedBytes(self.unmasked.buffer)

    def flush(self) -> None:
        """As of any stream."""
        super().flush()
        if "buffer" in vars(self):
            self.buffer.flush()


class MaskedBytes(_Before):
    """The same of a stream of bytes, in which secrets are looked for as UTF-8."""

    none, ends = b"", (b"\n", b"\r")

    def write(self, given: Any) -> int:
        """As of any stream."""
        return super().write(bytes(given))

    def put(self, given: bytes) -> None:
        """What is no UTF-8 is written as it is."""
        text = given.decode("utf-8", "surrogateescape")
        with named(self.unmasked):
            self.unmasked.write(_masked(text).encode("utf-8", "surrogateescape"))


def _masked(text: str) -> str:
    """Nothing is secret before there is a mask, which a mere `--help` does without."""
    references = sys.modules.get("ftspec.common.references")
    return references.mask(text) if references else text


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
