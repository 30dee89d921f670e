"""The worker: `python -m ftspec_local.worker FOLDER` does the job in that folder, or goes on with it.

It holds the job's lock for as long as it lives and speaks through files only (see ftspec_local.jobs), so neither side's
death takes the other along. Whatever goes wrong ends in result.json as one sentence; the traceback goes to worker.log.
"""

from __future__ import annotations

import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

from ftspec_local.jobs import EventLog, JobFolder


def main(path: str) -> int:
    """Do the job, unless somebody else is at it or it is done."""
    folder = JobFolder(Path(path))
    with folder.locked() as mine:
        if not mine or folder.result() is not None:
            return 0
        result = _outcome(folder)
        folder.finish(result)
        if result["state"] == "succeeded":
            shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return 0


def _outcome(folder: JobFolder) -> dict[str, Any]:
    try:
        return _train(folder, folder.event_log())
    except MemoryError:
        traceback.print_exc()
        return _failed("the machine ran out of memory", "lower hyperparameters.batch_size or max_length")
    except Exception as error:
        traceback.print_exc()
        return _failed(f"{type(error).__name__}: {error}".splitlines()[0], getattr(error, "hint", ""))


def _train(folder: JobFolder, log: EventLog) -> dict[str, Any]:
    if folder.cancelled():
        return {"state": "cancelled"}
    log.add("starting", "loading torch and the model")
    try:
        from ftspec_local.preferences import PreferenceTraining
        from ftspec_local.training import Cancelled, Training
    except ImportError as error:
        return _failed(f"a package is missing: {error}", "pip install --upgrade ftspec-local")
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
