"""The quickstart with ten seeds: accuracy of base and tuned model, and what a run takes on this machine.

    python tests/benchmarks/bench_quickstart.py [--seeds 10]

Every seed is a run of its own over the CLI, as a user would start it, into one new state folder: the base model's
answers do not depend on the seed, so only the first run asks it. The first run also starts with a cold model cache.
Memory is the sum over all processes of the run, sampled twice a second from /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

SPEC = Path(__file__).parents[2] / "specs" / "quickstart.yaml"
PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    seeds = range(parser.parse_args().seeds)
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}")
    print("| seed | base | tuned | consistency | wall s | memory GB |", "|---|---|---|---|---|---|", sep="\n")
    with tempfile.TemporaryDirectory(prefix="ftspec-quickstart-") as folder:
        rows = [one(seed, Path(folder)) for seed in seeds]
        again(Path(folder))
    good = sum(row["tuned"] >= 0.9 and row["base"] < 0.5 for row in rows)
    print(f"\nbase below 0.5 and tuned at least 0.9: {good} of {len(rows)} seeds")


def one(seed: int, folder: Path) -> dict[str, Any]:
    """One run; prints its line of the table as soon as it is there."""
    started = time.monotonic()
    with Memory(folder) as memory:
        outcome = run(seed, folder)
    wall = time.monotonic() - started
    evaluation = outcome["evaluation"]
    base, tuned = evaluation["base"]["accuracy"], evaluation["tuned"]["accuracy"]
    consistency = evaluation["tuned"]["consistency"]
    print(
        f"| {seed} | {base:.3f} | {tuned:.3f} | {consistency:.3f} | {wall:.0f} | {memory.peak / 1e9:.2f} |", flush=True
    )
    return {"base": base, "tuned": tuned}


def run(seed: int, folder: Path) -> dict[str, Any]:
    """Run the spec; a gate that fails (exit code 4) is a result too."""
    command = [sys.executable, "-m", "ftspec", "run", str(SPEC), "--quiet", "--format", "json"]
    command += ["--set", f"hyperparameters.seed={seed}", "--store", str(folder / "state")]
    environment = os.environ | {"FTSPEC_CACHE": str(folder / "cache")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode not in {0, 4}:
        sys.exit(f"seed {seed}: exit code {done.returncode}")
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def again(folder: Path) -> None:
    """The same command once more: nothing is done twice."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run(0, folder)["already_done"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"\nseed 0 again: {after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.2f} CPU s")


class Memory:
    """Samples the resident memory of every process of the run while the block lasts; `peak` in bytes."""

    def __init__(self, folder: Path) -> None:
        self.mark = str(folder).encode()
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self.peak = max(self.peak, sum(map(self._resident, Path("/proc").glob("[0-9]*"))))

    def _resident(self, process: Path) -> int:
        """Bytes, 0 for a process that is not part of the run: its command line or environment names the folder."""
        with contextlib.suppress(OSError):
            if self.mark in (process / "environ").read_bytes() and process.name != str(os.getpid()):
                return int((process / "statm").read_text().split()[1]) * PAGE
        return 0


if __name__ == "__main__":
    main()
