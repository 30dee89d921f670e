"""This user's cache on this machine: `ftspec/` in `$XDG_CACHE_HOME` or `~/.cache`. To lose it loses nothing but time.

What programs keep here of themselves (machine code, compiled templates) is run later, so it is only taken when it is
whole and this user's, for nobody else to change.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path

SUM_BYTES = 32
UNUSED = 30 * 86400.0
"""Seconds without use after which something is removed: what other versions of it still use is theirs."""


def folder(*names: str) -> Path:
    """A folder of the cache, which need not be there; one that cannot be there where this user has no home."""
    try:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        root = Path(os.devnull)
    return root.joinpath("ftspec", *names)


def read(place: Path) -> bytes | None:
    """What `write` kept there, which counts as a use; None where there is nothing, or nothing to be trusted."""
    try:
        with place.open("rb") as file:
            status = os.fstat(file.fileno())
            whole = file.read()
    except OSError:
        return None
    if not _is_own(status) or status.st_mode & 0o022:
        return None
    data = whole[SUM_BYTES:]
    if whole[:SUM_BYTES] != hashlib.sha256(data).digest():
        return None
    with suppress(OSError):  # a folder that is only read needs no care
        os.utime(place)
    return data


def write(place: Path, data: bytes) -> None:
    """Keep something, whole or not at all, for this user only. Nothing is raised where it cannot be kept."""
    staged = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        staged.write_bytes(hashlib.sha256(data).digest() + data)
        staged.chmod(0o600)
        staged.replace(place)
    except OSError:
        with suppress(OSError):
            staged.unlink()


def forget(place: Path, names: re.Pattern[str]) -> None:
    """Remove from the folder what nobody has used for long, or a killed process has left of it: plain files of this
    user's whose names, as far as `write` was given them, are such; nothing else."""
    with suppress(OSError):
        for kept in place.iterdir():
            with suppress(OSError):
                status = kept.lstat()
                ours = names.fullmatch(re.sub(r"\.[0-9a-f]{8}$", "", kept.name)) and stat.S_ISREG(status.st_mode)
                if ours and _is_own(status) and time.time() - status.st_mtime > UNUSED:
                    kept.unlink()


def _is_own(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
