"""Two hundred jobs of the simulated service followed by one process: its CPU, and how soon each end is seen.

    python tests/benchmarks/bench_following.py [JOBS]

Each run is detached after its submission, then `fleet` follows all of them; their ends are spread over time.
The service is a process of its own and not counted. An end is due when the clock says that the last step is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from ftspec import registry
from ftspec.common import errors
from ftspec.common.progress import Quiet
from ftspec.run import reopen, runner
from ftspec.run.site import Options
from ftspec.validation import validate
from ftspec.views import fleet

SPEC = """\
version: 1
name: job-NUMBER
sources:
  - examples:
      rows: [{text: one NUMBER, label: a}, {text: two, label: b}, {text: three, label: c}, {text: four, label: d}]
format:
  chat: {user: "{{ text }}", assistant: "{{ label }}"}
provider: {simulated: {seconds_per_step: 0.5, queue_seconds: QUEUE, idle: 30}}
model: sim-base
hyperparameters: {epochs: 50, batch_size: 1}
"""
"""200 steps of half a second: 100 seconds of work with an event per step, after the time in the queue."""
STEPS, PACE = 200, 0.5


def detach(folder: Path, number: int, queue: float, installed: registry.Registry) -> reopen.Opened:
    file = folder / f"job-{number}.yaml"
    file.write_text(SPEC.replace("NUMBER", str(number)).replace("QUEUE", f"{queue:.1f}"))
    loaded = validate.load_spec(file, installed)
    with contextlib.suppress(errors.StillRunning):
        runner.run(loaded, installed, Options(detach=True), Quiet())
    return reopen.open_run(str(file), None, installed)


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder, installed = Path(scratch), registry.load()
        started = time.time()
        runs = [detach(folder, number, 60 + 60 * number / count, installed) for number in range(count)]
        submitted = time.time() - started
        books = {path.stem: json.loads(path.read_text()) for path in folder.rglob("jobs/job-*.json")}
        cpu, wall, late = time.process_time(), time.monotonic(), []
        for ended in fleet.follow(runs):
            assert ended.result and ended.result.state == "succeeded", ended
            job = books[ended.job]
            due = job["created_at"] + job["behaviour"]["queue_seconds"] + STEPS * PACE
            late.append(time.time() - due)
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        for server in folder.rglob("server.json"):
            os.kill(json.loads(server.read_text())["pid"], signal.SIGKILL)
    late.sort()
    print(f"{count} jobs submitted in {submitted:.0f} s, followed for {wall:.0f} s by one process")
    print(f"CPU: {cpu:.1f} s, {100 * cpu / wall:.1f} percent of one core")
    print(f"ends seen after: median {late[len(late) // 2]:.1f} s, the latest {late[-1]:.1f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
