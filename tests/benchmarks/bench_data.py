"""The data step against the tools people use for it, its cost from 100,000 to 10,000,000 rows, and what it gets right.

    python tests/benchmarks/bench_data.py [--compare 100000] [--curve 100000,1000000] [--peers FOLDER] [--keep FOLDER]

`--compare N` runs the job of data/spec.yaml over N generated rows with ftspec and with each peer, one after the other
in rounds, each in a process of its own with a fresh state and cache. `--curve` runs ftspec and orjson (read and write,
no job) over each size. `--quality N` holds ftspec's ledger against the planted truth. All print tables in Markdown.

Peers are installed into virtual environments of their own under `--peers`; what each does differently stands at the top
of its file in data/peers. CPU is user and system time of a process and its children, as the system tells when they have
ended; memory is the most that all of them held at once (each shared page counted once), looked at ten times a second.
With `--cores 1` each tool has one core: threads that share a core's units wait for each other, and such waits count as
CPU, of a tool with several threads and not of one with a single one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

HERE = Path(__file__).parent / "data"
sys.path.insert(0, str(HERE))

import chats  # noqa: E402
import quality  # noqa: E402

PEERS = HERE / "peers"
ENVIRONMENTS = {
    "plain": ["orjson==3.13.0", "polars==2.1.0", "rensa==0.5.0", "datasets==5.2.0", "ftfy==6.3.1", "datasketch==2.0.0"],
    "datatrove": ["datatrove[io,processing]==0.10.1", "orjson", "ftfy"],
    "datajuicer": ["torch==2.13.0", "py-data-juicer==1.6.1", "aiohttp"],
}
"""Torch first: data-juicer needs one, and the index may hold builds of several gigabytes."""
TARGETS = {"data-juicer": 50, "datatrove": 30, "plain Python": 20, "HF datasets": 20, "Polars": 2}
"""How many times ftspec's CPU each should take at least."""
SLOW = ("data-juicer", "datatrove", "plain Python", "HF datasets")
"""Run once, whatever `--rounds` says, unless `--tools` names them: most are far from where noise could matter."""


class Took(NamedTuple):
    cpu: float
    wall: float
    megabytes: float
    code: int


class Job(NamedTuple):
    """How to run a tool over `source`; `clean` is called before each run."""

    name: str
    command: Callable[[Path], list[str]]
    clean: Callable[[], None] = lambda: None


def measured(command: list[str], limit: float) -> Took:
    """Run a command to its end, or kill it at the limit (code -9)."""
    started, most = time.monotonic(), 0.0
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            if time.monotonic() - started > limit:
                os.killpg(process.pid, signal.SIGKILL)
                ended = os.wait4(process.pid, 0)
                break
            most = max(most, held(process.pid))
            time.sleep(0.1)
        _, status, usage = ended
        code = process.returncode = os.waitstatus_to_exitcode(status)
        if code not in (0, -signal.SIGKILL):
            log.seek(0)
            print(log.read()[-2000:].decode(errors="replace"), file=sys.stderr)
    return Took(usage.ru_utime + usage.ru_stime, time.monotonic() - started, most, code)


def held(pid: int) -> float:
    """Megabytes of a process and its children now."""
    total = 0.0
    try:
        root = psutil.Process(pid)
        for one in [root, *root.children(recursive=True)]:
            total += one.memory_full_info().pss / 1e6
    except psutil.Error:
        pass
    return total


# ---- the tools


def ftspec(folder: Path) -> Job:
    """`ftspec run --until data`: the data step, with its ledger and its cache, into a store."""

    def command(source: Path) -> list[str]:
        spec = folder / "chats.yaml"
        spec.write_text((HERE / "spec.yaml").read_text().replace("PATH", str(source)))
        until_data = ["-q", "--until", "data", "--store", str(folder / "state")]
        return [sys.executable, "-m", "ftspec", "run", str(spec), *until_data]

    return Job("ftspec", command, lambda: shutil.rmtree(folder / "state", ignore_errors=True))


def script(name: str, file: str, python: Path, out: Path, *, text: bool = False) -> Job:
    """A peer's script; those that work on one `text` a row get the messages joined, which is not counted."""
    return Job(
        name, lambda source: [str(python), str(PEERS / file), str(as_text(source) if text else source), str(out / name)]
    )


def data_juicer(python: Path, out: Path) -> Job:
    def command(source: Path) -> list[str]:
        sys.path.insert(0, str(PEERS))
        import job

        patterns = [job.PERSONAL[at][0].pattern for at in (1, 2, 4)]
        text = (PEERS / "datajuicer.yaml").read_text().replace("PATTERNS", json.dumps(patterns))
        config = out / "datajuicer.yaml"
        config.write_text(
            text.replace("DATASET", str(as_text(source))).replace("EXPORT", str(out / "dj" / "out.jsonl"))
        )
        return [str(python.with_name("dj-process")), "--config", str(config)]

    return Job("data-juicer", command, lambda: shutil.rmtree(out / "dj", ignore_errors=True))


def as_text(source: Path) -> Path:
    made = source.with_suffix(".text.jsonl")
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        with source.open("rb") as read, made.open("w", encoding="utf-8") as written:
            for line in read:
                said = json.loads(line)["messages"]
                text = "\n".join(message["content"] for message in said)
                written.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return made


def environment(folder: Path, name: str) -> Path:
    """The Python of a peer's environment, which is made once."""
    python = folder / name / "bin" / "python"
    if not (folder / name / ".installed").exists():
        packages = ENVIRONMENTS[name]
        print(f"installing {name}: {', '.join(packages)}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder / name)], check=True)
        for package in packages:
            subprocess.run([str(python), "-m", "pip", "install", "-q", package], check=True)
        (folder / name / ".installed").touch()
    return python


def orjson(folder: Path, out: Path) -> Job:
    return script("orjson", "copy_orjson.py", environment(folder, "plain"), out)


def peers(folder: Path, out: Path, wanted: list[str]) -> list[Job]:
    """Those that are wanted; all, where none is named."""
    made: dict[str, Callable[[], Job]] = {
        "Polars": lambda: script("Polars", "with_polars.py", environment(folder, "plain"), out),
        "plain Python": lambda: script("plain Python", "plain_python.py", environment(folder, "plain"), out),
        "HF datasets": lambda: script("HF datasets", "huggingface.py", environment(folder, "plain"), out),
        "datatrove": lambda: script("datatrove", "with_datatrove.py", environment(folder, "datatrove"), out, text=True),
        "data-juicer": lambda: data_juicer(environment(folder, "datajuicer"), out),
        "orjson": lambda: orjson(folder, out),
    }
    return [make() for name, make in made.items() if not wanted or name in wanted]


# ---- the tables


def compare(count: int, place: Path, peers_folder: Path, rounds: int, limit: float, tools: list[str]) -> str:
    source = generated(place, count)
    out = place / "out"
    out.mkdir(exist_ok=True)
    jobs = [ftspec(place), *peers(peers_folder, out, tools)]
    took: dict[str, list[Took]] = {job.name: [] for job in jobs}
    for turn in range(rounds):
        for job in jobs:
            if turn == 0 or job.name not in SLOW or job.name in tools:
                took[job.name].append(one(job, source, limit))
    ours = statistics.median(each.cpu for each in took["ftspec"])
    lines = ["| tool | CPU s | times ftspec's | wanted | wall s | memory MB |", "|---|---|---|---|---|---|"]
    for name, each in took.items():
        cpu = statistics.median(run.cpu for run in each)
        wanted = f"at least {TARGETS[name]}" if name in TARGETS else ""
        cut = "" if each[0].code == 0 else " (stopped at the limit)" if each[0].code == -signal.SIGKILL else " (failed)"
        wall, memory = statistics.median(run.wall for run in each), max(run.megabytes for run in each)
        lines.append(f"| {name}{cut} | {cpu:.1f} | {cpu / ours:.2f} | {wanted} | {wall:.0f} | {memory:,.0f} |")
    return "\n".join(lines)


def curve(counts: list[int], place: Path, peers_folder: Path, rounds: int, limit: float) -> str:
    """The medians of some rounds in turns, up to a million rows; once above."""
    lines = [
        "| rows | MB | ftspec CPU s | µs a row | wall s | memory MB | orjson CPU s | ftspec / orjson |",
        "|---|---|---|---|---|---|---|---|",
    ]
    out = place / "out"
    out.mkdir(exist_ok=True)
    floor_job = orjson(peers_folder, out)
    for count in counts:
        source = generated(place, count)
        floors, runs = [], []
        for _ in range(rounds if count <= 1_000_000 else 1):
            floors.append(one(floor_job, source, limit))
            runs.append(one(ftspec(place), source, limit))
        if any(took.code for took in (*floors, *runs)):
            raise SystemExit(f"of {count:,} rows a run failed")
        cpu, floor = (statistics.median(took.cpu for took in each) for each in (runs, floors))
        wall, memory = statistics.median(run.wall for run in runs), max(run.megabytes for run in runs)
        figures = (
            f"{count:,}", f"{source.stat().st_size / 1e6:,.0f}", f"{cpu:.1f}", f"{cpu / count * 1e6:.1f}",
            f"{wall:.0f}", f"{memory:,.0f}", f"{floor:.1f}", f"{cpu / floor:.2f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(figures)} |")
    return "\n".join(lines)


def judged(count: int, place: Path, limit: float) -> str:
    source = generated(place, count)
    job = ftspec(place)
    job.clean()
    if measured(job.command(source), limit).code != 0:
        raise SystemExit("ftspec failed")
    table = quality.table(source.parent, place / "state")
    job.clean()
    return table


def generated(place: Path, count: int) -> Path:
    folder = place / f"chats-{count}"
    folder.mkdir(exist_ok=True)
    kept = place / "prose.json"
    if kept.exists():
        shutil.copy(kept, folder / "prose.json")
    source = chats.write(count, folder)
    shutil.copy(folder / "prose.json", kept)
    return source


def one(job: Job, source: Path, limit: float) -> Took:
    job.clean()
    took = measured(job.command(source), limit)
    job.clean()
    said = f"{job.name}: {took.cpu:.1f} CPU s, {took.wall:.0f} s, {took.megabytes:,.0f} MB, code {took.code}"
    print(said, file=sys.stderr, flush=True)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", type=int, default=0, help="rows for ftspec against its peers; 0: not")
    parser.add_argument("--tools", default="", help="only these beside ftspec, with commas between; all when empty")
    parser.add_argument("--curve", default="", help="sizes for ftspec against orjson, with commas between")
    parser.add_argument("--quality", type=int, default=20_000, help="rows to hold against the planted truth; 0: not")
    parser.add_argument("--rounds", type=int, default=3, help="of the fast tools, and of sizes up to a million")
    parser.add_argument("--cores", type=int, help="how many each tool may use, all when left out: two may share units")
    parser.add_argument("--limit", type=float, default=900, help="seconds after which a run is stopped")
    parser.add_argument("--peers", type=Path, default=Path.home() / ".cache" / "ftspec-bench" / "peers")
    parser.add_argument("--docs", type=Path, help="the page whose tables of the same names are replaced")
    parser.add_argument("--keep", type=Path, help="where rows and prose are kept for another time")
    chosen = parser.parse_args()
    if chosen.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: chosen.cores])
    with tempfile.TemporaryDirectory(prefix="ftspec-data-") as scratch:
        place = (chosen.keep or Path(scratch)).absolute()
        place.mkdir(parents=True, exist_ok=True)
        load = " ".join(f"{one:.1f}" for one in os.getloadavg())
        print(f"{platform.platform()}, {os.cpu_count()} cores, load {load}, niceness {os.nice(0)}\n", flush=True)
        if chosen.quality:
            show("quality", judged(chosen.quality, place, chosen.limit), chosen.docs)
        if chosen.compare:
            tools = [name for name in chosen.tools.split(",") if name]
            peers_folder = chosen.peers.absolute()
            table = compare(chosen.compare, place, peers_folder, chosen.rounds, chosen.limit, tools)
            show("compare", table, chosen.docs)
        if chosen.curve:
            sizes = [int(size) for size in chosen.curve.split(",")]
            show("curve", curve(sizes, place, chosen.peers.absolute(), chosen.rounds, chosen.limit), chosen.docs)


def show(name: str, table: str, docs: Path | None) -> None:
    """Print a table, and put it between its marks in the page."""
    print(table, "\n", flush=True)
    if docs:
        start, end = f"<!-- data {name} -->\n", f"\n<!-- end of data {name} -->"
        before, _, rest = docs.read_text().partition(start)
        docs.write_text(f"{before}{start}{table}{end}{rest.partition(end)[2]}")


if __name__ == "__main__":
    main()
