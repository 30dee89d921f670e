"""The worker: `python -m ftspec_local.worker FOLDER` does the job in that folder, or goes on with it.

It holds the job's lock for as long as it lives and speaks through files only (see ftspec_local.jobs), so neither side's
death takes the other along. Whatever goes wrong ends in result.json as one sentence, or in halted.json where another
worker can go on; the traceback goes to worker.log.
"""

from __future__ import annotations

import shutil
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from ftspec_local import checkpoints
from ftspec_local.jobs import EventLog, JobFolder
from ftspec_local.refusals import refusal


def main(path: str) -> int:
    """Do the job, unless somebody else is at it or it is done."""
    folder = JobFolder(Path(path))
    with folder.locked() as mine:
        if not mine or folder.result() is not None:
            return 0
        try:
            result = _train(folder, folder.event_log())
            folder.finish(result)
        except Exception as error:
            _went_wrong(folder, error)
            return 1
        if result["state"] == "succeeded":
            shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return 0


def _went_wrong(folder: JobFolder, error: Exception) -> None:
    with suppress(OSError):  # the log may be what the disk has no room for
        traceback.print_exc()
    if refused := refusal(error, folder.path):
        with suppress(OSError):  # then it has died without a word
            _clear(folder)
            folder.halt(*refused)
    else:
        folder.finish(_failed(f"{type(error).__name__}: {error}".splitlines()[0], getattr(error, "hint", "")))


def _clear(folder: JobFolder) -> None:
    """Remove what was only half written: it is of no use, and may be what takes the room."""
    checkpoints.latest(folder.checkpoints)
    for half in (*folder.path.glob(".kept-*"), *folder.path.glob(".best-*"), folder.model):
        shutil.rmtree(half, ignore_errors=True)


def _train(folder: JobFolder, log: EventLog) -> dict[str, Any]:
    if folder.cancelled():
        return {"state": "cancelled"}
    log.add("starting", "loading torch and the model")
    try:
        from ftspec_local.preferences import PreferenceTraining
        from ftspec_local.training import Cancelled, Training
    except ImportError as error:
        return _failed(f"a package is missing: {error}", "pip install --upgrade ./plugins/ftspec-local")
    import msgspec

    from ftspec_local import device
    from ftspec_local.options import Hyperparameters, Settings

    job = folder.job()
    kind = PreferenceTraining if job.get("request", {}).get("method") == "dpo" else Training
    training = kind(
        folder,
        log,
        Path(job["base"]),
        msgspec.convert(job["hyperparameters"], Hyperparameters),
        job["method_options"],
        device.resolve(msgspec.convert(job["settings"], Settings)),
    )
    try:
        done = training.run(Path(job["training"]), Path(job["validation"]) if job["validation"] else None)
    except Cancelled:
        return {"state": "cancelled"}
    return {"state": "succeeded", **done}


def _failed(message: str, hint: str) -> dict[str, Any]:
    return {"state": "failed", "error": message, "hint": hint}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
