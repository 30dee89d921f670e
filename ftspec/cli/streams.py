"""Standard output and error with secrets masked, whoever in this process writes there.

What ftspec shows is masked before; plugins and the libraries that they use print too, warn, log, and let exceptions
end a thread, each of which goes to `sys.stderr` by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast


class Masked:
    """A text stream like the one that it stands before, `unmasked`, to which all goes with secrets masked."""

    def __init__(self, unmasked: TextIO) -> None:
        self.unmasked = unmasked

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unmasked, name)

    def write(self, text: str) -> int:
        """As of any stream. Nothing is secret before there is a mask, which a mere `--help` does without."""
        references = sys.modules.get("ftspec.common.references")
        self.unmasked.write(references.mask(text) if references and text else text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As of any stream."""
        for line in lines:
            self.write(line)


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
