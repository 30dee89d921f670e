"""Evaluations against a local echo server: 10,000 cases through the SDK, the leanest client and promptfoo; 300,000.

    python tests/benchmarks/bench_evaluation.py [--cases 10000] [--promptfoo FOLDER] [--large 100000]

The server (echo_server.py, its own process) answers after 50 ms; 64 questions are asked at once. The ideal time is
cases / 64 x 0.05 s. promptfoo is asked the same questions by the same server in the same run, where it is installed:

    npm install --prefix FOLDER promptfoo        # outside of this repository; needs node
    python tests/benchmarks/bench_evaluation.py --promptfoo FOLDER

Memory is the largest sum over all processes of a tool (PSS, /proc). `--large N` asks N cases three times each, kills
the run with SIGKILL on the way and goes on. `--calls N` measures the CPU of one call alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psutil

HERE = Path(__file__).parent
LATENCY, CONCURRENCY = 0.05, 64

SPEC = """\
version: 1
name: echo
sources:
  - examples: {rows: [ROWS]}
format:
  chat: {user: "{{ text }}", assistant: "{{ label }}"}
provider:
  openai: {base_url: "URL", concurrency: CONCURRENCY, client: CLIENT}
model: echo
eval:
  prompts:
    - jsonl: {path: cases.jsonl}
  graders: [exact]
  generation: {temperature: TEMPERATURE, max_tokens: 16}
  repeat: REPEAT
gates:
  - accuracy: {min: 0.5, model: base}
"""
WORDS = [f"word{number}" for number in range(5000)]


class Took(NamedTuple):
    """Seconds from start to report, CPU seconds, and the most megabytes of memory, of a command."""

    seconds: float
    cpu: float
    megabytes: float
    code: int
    out: str


@contextmanager
def echo_server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(HERE / "echo_server.py"), str(port), str(LATENCY)])
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def calls(url: str) -> int:
    with urllib.request.urlopen(f"{url}/calls", timeout=10) as said:
        return int(json.load(said)["calls"])


def write_cases(folder: Path, count: int) -> None:
    """A sentence each; nine of ten expect to be echoed."""
    draw = random.Random(1)
    with (folder / "cases.jsonl").open("w") as file:
        for number in range(count):
            text = f"case {number}: {' '.join(draw.choices(WORDS, k=20))}"
            file.write(json.dumps({"text": text, "label": text if number % 10 else "something else"}) + "\n")


def write_spec(folder: Path, url: str, client: str, repeat: int) -> None:
    rows = ", ".join(f"{{text: train {number}, label: yes}}" for number in range(12))
    filled = {"ROWS": rows, "URL": url, "CONCURRENCY": str(CONCURRENCY), "CLIENT": client, "REPEAT": str(repeat)}
    filled["TEMPERATURE"] = "0.5" if repeat > 1 else "0"
    text = SPEC
    for name, value in filled.items():
        text = text.replace(name, value)
    (folder / "echo.yaml").write_text(text)


def measured(command: list[str], folder: Path, environment: dict[str, str], kill_when: float | None = None) -> Took:
    """Run a command and watch it; `kill_when` is how many megabytes of answers there are when it is killed."""
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    most, cpu = 0.0, {process.pid: 0.0}
    while process.poll() is None:
        memory, spent = usage(process.pid)
        most = max(most, memory)
        cpu.update(spent)
        if kill_when is not None and size_of(folder / ".ftspec" / "machine" / "spills", folder) >= kill_when:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.1)
    out = process.stdout.read() if process.stdout else ""
    return Took(time.monotonic() - started, sum(cpu.values()), most, process.returncode, out)


def usage(pid: int) -> tuple[float, dict[int, float]]:
    """(megabytes, CPU seconds by process) of a process and its children."""
    total, spent = 0.0, {}
    try:
        root = psutil.Process(pid)
        for one in [root, *root.children(recursive=True)]:
            try:
                total += one.memory_full_info().pss / 1e6
                spent[one.pid] = sum(one.cpu_times()[:2])
            except psutil.Error:
                continue
    except psutil.Error:
        pass
    return total, spent


def size_of(spills: Path, folder: Path) -> float:
    """Megabytes of answers that are kept."""
    files = [*spills.rglob("*.jsonl"), *(folder / ".ftspec" / "segments").rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def ftspec(folder: Path, url: str, client: str, repeat: int = 1, kill_when: float | None = None) -> Took:
    write_spec(folder, url, client, repeat)
    environment = os.environ | {"OPENAI_API_KEY": "none", "FTSPEC_STORE": ""}
    environment.pop("FTSPEC_STORE")
    return measured([sys.executable, "-m", "ftspec", "eval", "echo.yaml"], folder, environment, kill_when)


def promptfoo(folder: Path, installed: Path, url: str) -> Took:
    """The same cases in a promptfoo config, without its cache, telemetry and remote calls."""
    tests = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    config = {
        "prompts": ["{{text}}"],
        "providers": [
            {
                "id": "openai:chat:echo",
                "config": {"apiBaseUrl": url, "apiKey": "none", "temperature": 0, "max_tokens": 16},
            }
        ],
        "tests": [{"vars": {"text": t["text"]}, "assert": [{"type": "equals", "value": t["label"]}]} for t in tests],
    }
    (folder / "promptfooconfig.json").write_text(json.dumps(config))
    off = ["PROMPTFOO_DISABLE_TELEMETRY", "PROMPTFOO_DISABLE_UPDATE", "PROMPTFOO_DISABLE_REMOTE_GENERATION"]
    environment = os.environ | dict.fromkeys(off, "1") | {"PROMPTFOO_CONFIG_DIR": str(folder / "promptfoo")}
    command = [str(installed / "node_modules/.bin/promptfoo"), "eval", "--config", "promptfooconfig.json", "--no-cache"]
    command += ["--max-concurrency", str(CONCURRENCY), "--no-table", "--no-progress-bar", "--output", "report.html"]
    return measured(command, folder, environment)


def asking_seconds(took: Took) -> str:
    """What the run itself says that asking took."""
    line = next((line for line in took.out.splitlines() if "asking the base" in line and "answers" in line), "")
    return line.rpartition(",")[2].strip()


def compare(cases: int, installed: Path | None) -> None:
    ideal = cases / CONCURRENCY * LATENCY
    print(f"{cases} cases, {CONCURRENCY} at once, {LATENCY * 1000:.0f} ms: ideal {ideal:.1f} s; load {os.getloadavg()}")
    print(f"{'':<12}{'asking':>14}{'whole s':>10}{'x ideal':>9}{'CPU s':>8}{'MB':>8}{'code':>6}{'calls':>8}")
    with echo_server() as url:
        for name in ("sdk", "aiohttp", *(["promptfoo"] if installed else [])):
            with tempfile.TemporaryDirectory() as place:
                folder, before = Path(place), calls(url)
                write_cases(folder, cases)
                took = (
                    promptfoo(folder, installed, url)
                    if installed and name == "promptfoo"
                    else ftspec(folder, url, name)
                )
                asked = calls(url) - before
                figures = f"{took.seconds:>10.1f}{took.seconds / ideal:>9.2f}{took.cpu:>8.1f}{took.megabytes:>8.0f}"
                print(f"{name:<12}{asking_seconds(took):>14}{figures}{took.code:>6}{asked:>8}", flush=True)
                if took.code not in (0, 100):
                    print(took.out[-2000:])


def per_call(calls: int, rounds: int = 8) -> None:
    """CPU milliseconds of one call by each client, asked as a run does; the least of some rounds, in turns."""
    from ftspec_openai.tuners import OpenAI

    from ftspec import api

    os.environ.setdefault("OPENAI_API_KEY", "none")
    generation = api.Generation(max_tokens=16)

    async def timed(model: Any) -> float:
        async def work(numbers: Iterator[int]) -> None:
            for number in numbers:
                said = [api.Message(role="user", content=f"case {number}: {' '.join(WORDS[:20])}")]
                await model.ask(api.Question(prompt=api.Prompt(id="p", messages=said), repeat=0, seed=1), generation)

        async def all_of(count: int) -> None:
            numbers = iter(range(count))
            await asyncio.gather(*(work(numbers) for _ in range(CONCURRENCY)))

        await all_of(CONCURRENCY)  # imports and connections
        started = time.process_time()
        await all_of(calls)
        spent = time.process_time() - started
        await model.close()
        return spent / calls * 1000

    clients: tuple[Literal["sdk", "aiohttp"], ...] = ("sdk", "aiohttp")
    least = {client: float("inf") for client in clients}
    with echo_server() as url:
        for _ in range(rounds):
            for client in clients:
                provider = OpenAI(base_url=url, client=client, concurrency=CONCURRENCY)
                with provider.serve(api.ModelRef(id="echo")) as model:
                    least[client] = min(least[client], asyncio.run(timed(model)))
    print(f"load {os.getloadavg()}; CPU of one call: " + ", ".join(f"{k} {v:.2f} ms" for k, v in least.items()))


def large(cases: int) -> None:
    """Three answers to each case; killed when about a third of them are there, and run again."""
    with echo_server() as url, tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_cases(folder, cases)
        first = ftspec(folder, url, "aiohttp", repeat=3, kill_when=cases * 3 * 400 / 3e6)
        made = calls(url)
        print(f"killed after {first.seconds:.0f} s and {made} calls: {first.megabytes:.0f} MB, code {first.code}")
        again = ftspec(folder, url, "aiohttp", repeat=3)
        total = calls(url)
        report = next(folder.glob(".ftspec/runs/*/report/report.html"), None)
        print(f"went on for {again.seconds:.0f} s: {again.megabytes:.0f} MB, code {again.code}")
        print(f"{total} calls for {cases * 3} answers: {total - cases * 3} asked again")
        print(f"report.html {report.stat().st_size / 1e6:.1f} MB" if report else again.out[-2000:])
        print(f"objects of answers: {len(list(folder.glob('.ftspec/segments/answers/**/*')))}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=0, help="also so many cases, three answers each; 0 for none")
    parser.add_argument("--calls", type=int, default=0, help="also the CPU of one call, over so many; 0 for not")
    parser.add_argument("--promptfoo", type=Path, help="where `npm install --prefix` put it")
    chosen = parser.parse_args()
    if chosen.cases:
        compare(chosen.cases, chosen.promptfoo.absolute() if chosen.promptfoo else None)
    if chosen.calls:
        per_call(chosen.calls)
    if chosen.large:
        large(chosen.large)


if __name__ == "__main__":
    main()
