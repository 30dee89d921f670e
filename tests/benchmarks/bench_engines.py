"""The job of bench_data.py with the default engine, and with `engine: ray` on a cluster of this machine alone.

    python tests/benchmarks/bench_engines.py [--sizes 10000,100000] [--keep FOLDER]

Whether both make the same files is looked at too. A cluster's processes are not all children that somebody waits for,
so CPU is what each process had used when it was last looked at, twice a second: a little less than the truth, for both.
Memory is the most that all of them held at once, each shared page counted once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil
from bench_data import HERE, generated

ENGINES = {"threads": "", "ray": "engine: {ray: {}}\n"}


class Took(NamedTuple):
    cpu: float
    wall: float
    megabytes: float
    files: dict[str, str]


def run(engine: str, source: Path, folder: Path) -> Took:
    spec, state = folder / "chats.yaml", folder / "state"
    spec.write_text((HERE / "spec.yaml").read_text().replace("PATH", str(source)) + ENGINES[engine])
    command = [sys.executable, "-m", "ftspec", "run", str(spec), "-q", "--until", "data", "--store", str(state)]
    used: dict[tuple[int, float], float] = {}
    started, most = time.monotonic(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, look(process.pid, used))
            time.sleep(0.5)
    wall = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"{engine}: exit code {process.returncode}")
    (files,) = [
        made["files"] for step in (state / "steps").iterdir() if "files" in (made := json.loads(step.read_bytes()))
    ]
    return Took(sum(used.values()), wall, most, files)


def look(pid: int, used: dict[tuple[int, float], float]) -> float:
    """Megabytes that a process and all below it hold; the CPU seconds of each go into `used`."""
    held = 0.0
    try:
        found = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0.0
    for one in found:
        try:
            times = one.cpu_times()
            used[one.pid, one.create_time()] = times.user + times.system
            held += one.memory_full_info().pss / 1e6
        except psutil.Error:
            continue
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000", help="how many rows, with commas between")
    parser.add_argument("--keep", type=Path, help="where rows and prose are kept for another time")
    chosen = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, niceness {os.nice(0)}\n")
    print("| rows | engine | CPU s | wall s | memory MB | same files |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="ftspec-engines-") as scratch:
        place = (chosen.keep or Path(scratch)).absolute()
        place.mkdir(parents=True, exist_ok=True)
        for size in map(int, chosen.sizes.split(",")):
            source = next(iter(sorted((place / f"chats-{size}").glob("chats.jsonl"))), None) or generated(place, size)
            first: Took | None = None
            for engine in ENGINES:
                with tempfile.TemporaryDirectory(dir=scratch) as folder:
                    took = run(engine, source, Path(folder))
                first = first or took
                same = "yes" if took.files == first.files else "no"
                print(
                    f"| {size:,} | {engine} | {took.cpu:.1f} | {took.wall:.0f} | {took.megabytes:,.0f} | {same} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
