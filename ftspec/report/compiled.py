"""The page's templates as Jinja compiled them: that takes longer than all else about a short report, so it is kept.

It lies in the user's cache, one file for each template, named by what made it.
"""

from __future__ import annotations

import hashlib
import re
import sys
from importlib.metadata import version
from pathlib import Path

from jinja2.bccache import Bucket, BytecodeCache

from ftspec.files import usercache

OURS = re.compile(r".+-[0-9a-f]{16}")
"""Names of compiled templates, which other versions may have left."""


class Compiled(BytecodeCache):
    """Bytecode of templates. `settings` is the file that says how they are compiled: filters, escaping, blanks."""

    def __init__(self, settings: Path) -> None:
        self.folder = usercache.folder("templates")
        made_by = f"{version('jinja2')} {sys.implementation.cache_tag}".encode()
        self.made_by = hashlib.sha256(made_by + settings.read_bytes()).hexdigest()

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """By what compiles it, and not by the folder of the installation."""
        return f"{name}-{self.made_by[:16]}"

    def get_source_checksum(self, source: str) -> str:
        return hashlib.sha256(source.encode()).hexdigest()

    def load_bytecode(self, bucket: Bucket) -> None:
        code = usercache.read(self.folder / bucket.key)
        if code is not None:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Where it cannot be kept, the next process compiles it again."""
        usercache.write(self.folder / bucket.key, bucket.bytecode_to_string())
        usercache.forget(self.folder, OURS)
