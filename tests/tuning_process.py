"""Runs `tune` in processes of its own, for tests that kill, stop and race them. Not a test itself.

Reads one JSON order per line and answers each with a line: {"model" or "error", "lines"}. Every order runs in a forked
child, so that a hundred cost what one interpreter costs. An order may say `kill_at`: the child counts the lines that
it executes in the modules under test and kills itself with SIGKILL before that one; or `stop_in`, "claim" or "submit":
it stops itself there with SIGSTOP, once, until somebody continues it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ftspec.asking import patience
from ftspec.builtin.simulated import COMPONENTS, client, tuner
from ftspec.common.errors import FtspecError
from ftspec.common.jobs import DataFile, ModelRef, Request
from ftspec.common.progress import Quiet
from ftspec.state import journal, store
from ftspec.state.journal import Journal
from ftspec.state.store import Store
from ftspec.tuning import claims, following, submission, tuning, uploads
from ftspec.tuning.claims import Register
from ftspec.tuning.following import Follow
from ftspec.tuning.submission import Times
from ftspec.tuning.tuning import tune

WATCHED = {
    module.__file__
    for module in (claims, client, following, journal, patience, store, submission, tuner, tuning, uploads)
}


def watch(kill_at: int) -> list[int]:
    """Count lines of the modules under test; die at the given one (0: never)."""
    count = [0]

    def trace(frame: Any, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            count[0] += 1
            if count[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    return count


def stopping(function: Any, *, before: bool) -> Any:
    """The function, with one SIGSTOP of this process before or after its first call."""
    left = [1]

    def stop() -> None:
        if left and left.pop():
            os.kill(os.getpid(), signal.SIGSTOP)

    def wrapped(*args: Any, **named: Any) -> Any:
        if before:
            stop()
        result = function(*args, **named)
        if not before:
            stop()
        return result

    return wrapped


def work(order: dict[str, Any]) -> dict[str, Any]:
    provider = COMPONENTS["simulated"].build(order["options"])
    provider.attach(Path(order["service"]))
    if order.get("stop_in") == "submit":
        provider.submit = stopping(provider.submit, before=True)
    if order.get("stop_in") == "claim":
        Register.claim = stopping(Register.claim, before=False)  # type: ignore[method-assign]
    kept = Store.open(order["state"])
    hyperparameters = {"epochs": 1, "batch_size": 8, "learning_rate_multiplier": 1.0, "seed": order["seed"]}
    request = Request(model=ModelRef(id="tiny"), hyperparameters=hyperparameters)
    files = [DataFile(**file) for file in order["files"]]
    counted = watch(order.get("kill_at", 0))
    try:
        model = tune(
            provider,
            request,
            files,
            store=kept,
            journal=Journal(kept, "run"),
            key=f"{files[0].sha256}-{order['seed']}",
            progress=Quiet(),
            resubmit=order.get("resubmit", False),
            follow=Follow(first=0.01),
            times=Times(**order.get("times", {})),
        )
    except FtspecError as error:
        return {"error": type(error).__name__, "message": error.message, "lines": counted[0]}
    finally:
        sys.settrace(None)
    return {"model": model.id, "lines": counted[0]}


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        receive, send = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(send, json.dumps(work(order)).encode())
            os._exit(0)
        os.close(send)
        with os.fdopen(receive) as answer:
            said = answer.read()
        os.waitpid(child, 0)
        print(said or '{"killed": true}', flush=True)


if __name__ == "__main__":
    main()
