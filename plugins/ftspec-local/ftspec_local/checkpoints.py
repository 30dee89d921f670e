"""Which checkpoints of a job are complete.

The trainer writes a checkpoint file by file; a worker killed meanwhile leaves half of one. So a checkpoint counts only
once it holds a mark, which is written last. The newest complete one is where a restarted job goes on.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ftspec_local.jobs import make_durable, sync

MARK = "complete"
PREFIX = "checkpoint-"


def mark_complete(checkpoint: Path) -> None:
    """Say that everything is there, once it is on the disk."""
    make_durable(checkpoint)
    (checkpoint / MARK).touch()
    sync(checkpoint)


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which it was written."""
    return int(checkpoint.name.removeprefix(PREFIX))


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint; removes the ones that were cut short."""
    complete = []
    for checkpoint in folder.glob(f"{PREFIX}*"):
        if (checkpoint / MARK).exists():
            complete.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(complete, key=step_of, default=None)
