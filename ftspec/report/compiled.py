"""The page's templates as Jinja compiled them: that takes longer than all else about a short report, so it is kept.

It lies in `ftspec/templates` in `$XDG_CACHE_HOME` or `~/.cache`, like the object code of near_dedupe: one file for each
template, named by what made it. What is not whole, or not this user's alone to change, is compiled again.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from jinja2.bccache import Bucket, BytecodeCache

SUM_BYTES = 32


class Compiled(BytecodeCache):
    """Bytecode of templates. `settings` is the file that says how they are compiled: filters, escaping, blanks."""

    def __init__(self, settings: Path) -> None:
        self.folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftspec" / "templates"
        made_by = f"{version('jinja2')} {sys.implementation.cache_tag}".encode()
        self.made_by = hashlib.sha256(made_by + settings.read_bytes()).hexdigest()

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """Templates of all installations lie side by side, whatever their folders."""
        return f"{name}-{self.made_by[:16]}"

    def get_source_checksum(self, source: str) -> str:
        return hashlib.sha256(source.encode()).hexdigest()

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError), self._place(bucket).open("rb") as file:
            status = os.fstat(file.fileno())
            if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
                return
            whole = file.read()
            if whole[:SUM_BYTES] == hashlib.sha256(whole[SUM_BYTES:]).digest():
                bucket.bytecode_from_string(whole[SUM_BYTES:])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Whole or not at all. Where it cannot be kept, the next process compiles it again."""
        code, place = bucket.bytecode_to_string(), self._place(bucket)
        staged = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            staged.write_bytes(hashlib.sha256(code).digest() + code)
            staged.chmod(0o600)
            staged.replace(place)
        except OSError:
            with suppress(OSError):
                staged.unlink()

    def _place(self, bucket: Bucket) -> Path:
        return self.folder / bucket.key
