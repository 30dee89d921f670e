"""What the machine refuses a worker: space, memory, a device. That is not the end of a job, which can go on later.

Everything else that is raised is, and would be raised again. Nothing but the standard library is needed here.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
OTHERS = frozenset({errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE})
UNWRITTEN = re.compile(
    r"No space left|Disk quota|File too large|Read-only file system|\(os error (5|27|28|30|122)\)"
    r"|inline_container\S* \. unexpected pos|PytorchStreamWriter failed writing"
)
"""How safetensors and torch, which write by themselves, say that a file could not be written."""
MEMORY = re.compile(r"out of memory|(can't|[Cc]annot) allocate memory|not enough memory")


class Refusal(NamedTuple):
    """What was refused, and what can be done about it."""

    message: str
    hint: str


class Refused(Exception):
    """The machine has not what the spec asks for. `hint` says what can be done."""

    hint = ""


def refusal(error: BaseException, folder: Path) -> Refusal | None:
    """What the machine has refused, where that is what a worker that keeps its files in the folder has met."""
    said, number = str(error), error.errno if isinstance(error, OSError) else None
    if isinstance(error, Refused):
        return Refusal(said, error.hint)
    if isinstance(error, MemoryError) or MEMORY.search(said):
        return Refusal("there was not memory enough", "end what else runs here, or lower batch_size or max_length")
    if number in WRITING or UNWRITTEN.search(said):
        reason = f"{os.strerror(number)}; " if number else ""
        free = shutil.disk_usage(folder).free / 1e6
        return Refusal(
            f"a file of the job could not be written ({reason}{free:,.1f} MB free in {folder})",
            "see to space, permissions and limits there",
        )
    return Refusal(f"the system refused: {said}", "see to permissions and limits there") if number in OTHERS else None
