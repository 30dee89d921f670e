"""A report of 100,000 prompts, three answers each of two models: time and memory to write it, time to open it.

    python tests/benchmarks/bench_report.py [PROMPTS]

The page is opened in headless Chromium five times; the figure is the time from the start of the navigation to the end
of the load event, as the browser itself measured it, after the page's own script has run.
"""

from __future__ import annotations

import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ftspec import report
from ftspec.common.evaluation import Grade
from ftspec.common.messages import Answer, Message, Prompt
from ftspec.common.records import RunInfo
from ftspec.grading import answersheet, scoring
from ftspec.grading.grade import Answered, Graded

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REPEATS, OPENINGS = 3, 5
TIMED = "addEventListener('load', () => setTimeout(() => {document.title = 'ms=' + Math.round(performance.now())}))"


def prompts(count: int) -> Iterator[Prompt]:
    for number in range(count):
        asked = f"Ticket {number}: where is my parcel? It should have been here {number % 30} days ago. " * 3
        tags = (f"region {number % 12}",)
        yield Prompt(id=f"p{number}", messages=[Message(role="user", content=asked)], expected="delivery", tags=tags)


def answered(label: str, asked: list[Prompt], right: float, rng: random.Random) -> Answered:
    answers, graded = [], []
    for prompt in asked:
        for repeat in range(REPEATS):
            good = rng.random() < right
            said = "delivery" if good else f"I am not sure, perhaps payment or account {rng.random():.6f}?"
            answers.append(Answer(prompt=prompt.id, repeat=repeat, text=said, completion_tokens=9))
            grade = Grade(passed=good, reason="" if good else f"expected 'delivery', got {said!r}")
            graded.append(Graded(prompt=prompt.id, repeat=repeat, passed=good, grades={"exact": grade}))
    return Answered(model=label, answers=tuple(answers), graded=tuple(graded), seconds=1.0)


def opened(page: Path, profile: Path) -> float:
    """Milliseconds until the page is there, by the browser's own clock."""
    driven = page.with_name("driven.html")
    source = page.read_text().replace("script-src '", "script-src 'unsafe-inline' '", 1)
    source = re.sub(r"script-src 'unsafe-inline' 'sha256-[^']*'", "script-src 'unsafe-inline'", source, count=1)
    driven.write_text(source.replace("<title>", f"<script>{TIMED}</script><title>", 1))
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={profile}", "--timeout=30000", "--dump-dom", driven.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>ms=(\d+)", done.stdout)
    assert found, done.stderr[-500:]
    return float(found[1])


def main(count: int) -> None:
    rng = random.Random(0)
    asked = list(prompts(count))
    models = {"base": answered("base", asked, 0.4, rng), "tuned": answered("tuned", asked, 0.9, rng)}
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    with tempfile.TemporaryDirectory() as scratch:
        folder, cpu = Path(scratch), time.process_time()
        cases = report.cases(asked, models)
        evaluation = scoring.evaluate(asked, models)
        scored = time.process_time() - cpu
        data = report.ReportData(
            name="bench",
            run=RunInfo(id="bench-1", name="bench", spec="bench.yaml"),
            evaluation=evaluation,
            cases=cases.kept,
            cases_total=cases.total,
            cases_failed=cases.failed,
        )
        cpu = time.process_time()
        page = report.write(folder, data)
        wrote = time.process_time() - cpu
        answersheet.write(folder, asked, models)
        sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in sorted(folder.iterdir()))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{count:,} prompts, {REPEATS} answers each of 2 models")
        print(f"scored in {scored:.1f} CPU s, report written in {wrote:.1f} CPU s: {sizes}")
        print(f"peak memory {peak:.2f} GB, of which {held:.2f} GB were the answers themselves")
        if CHROMIUM:
            times = [opened(page, folder / "profile") for _ in range(OPENINGS)]
            middle, slowest = statistics.median(times) / 1000, max(times) / 1000
            print(f"opened in {middle:.2f} s (median of {OPENINGS}), {slowest:.2f} s at most")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
