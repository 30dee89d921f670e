"""Recall and precision of `redact` by entity, on values and sentences that its patterns did not generate; its speed.

    python tests/benchmarks/bench_redact.py [COUNT] [SEED ...] [--misses]

COUNT texts per entity, seed and generator. See tests/planted.py for where texts and values come from. Seeds below 1000
were looked at while the patterns were written; the published figures are of seeds from 1000 on.
"""

from __future__ import annotations

import base64
import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import planted

from ftspec import rows
from ftspec.builtin.redaction import catalogue
from ftspec.builtin.redaction.entities import find
from ftspec.builtin.redaction.steps import redact

EVERYTHING = catalogue.chosen(["pii", "secrets"])


def look(text: str) -> list[tuple[int, int, str]]:
    return [tuple(each) for each in find(text, EVERYTHING)]


def table(title: str, found: dict[str, planted.Rates]) -> None:
    print(f"\n| {title} | planted | recall | found | precision |\n|---|---|---|---|---|")
    for name, rate in found.items():
        if rate.planted or rate.found:
            print(f"| {name} | {rate.planted:,} | {rate.recall:.3f} | {rate.found:,} | {rate.precision:.3f} |")


def detect_secrets() -> None:
    """The test lines of detect-secrets: which of the flagged ones we find, which of the others we do not."""
    lines = json.loads((planted.DATA / "detect-secrets.json").read_text())
    print("\n| detect-secrets' tests | with a secret | found | without | found |\n|---|---|---|---|---|")
    for plugin in dict.fromkeys(line["plugin"] for line in lines):
        here = [
            (base64.b64decode(line["line"]).decode(), line["flagged"]) for line in lines if line["plugin"] == plugin
        ]
        good, bad = [text for text, flagged in here if flagged], [text for text, flagged in here if not flagged]
        hits = [
            sum(any(name in catalogue.GROUPS["secrets"] for _, _, name in look(text)) for text in some)
            for some in (good, bad)
        ]
        print(f"| {plugin} | {len(good)} | {hits[0]} | {len(bad)} | {hits[1]} |")


def speed(count: int) -> None:
    """CPU per text: one tenth with something planted, the rest prose."""
    rng = random.Random(0)
    prose = planted.prose()
    texts = ["\n".join(rng.choice(prose) for _ in range(2)) for _ in range(count)]
    for at in range(0, count, 10):
        texts[at] += "\n" + planted.sentence(rng.choice(("email", "phone", "card")), rng, "faker").text
    batch = rows.from_dicts([{"text": text} for text in texts])
    step = redact.build({})
    started = time.process_time()
    rows.map_text(batch, step.function, prefilter=step.prefilter)
    seconds = time.process_time() - started
    hits = len(step.prefilter(batch.column("text")))
    size = sum(map(len, texts)) / count
    print(f"\n{count:,} texts of {size:.0f} characters: {seconds / count * 1e6:.1f} µs CPU each, {hits:,} to look at")


def main() -> None:
    numbers = [int(each) for each in sys.argv[1:] if each.isdigit()]
    count, seeds = (numbers or [200])[0], numbers[1:] or [1001, 1002, 1003]
    misses: list[str] | None = [] if "--misses" in sys.argv else None
    for source in ("faker", "mimesis"):
        texts = (text for seed in seeds for text in planted.sample(seed, count, source))
        table(f"{source}, seeds {seeds}", planted.rates(texts, look, misses))
    table(f"keys by vendor, seed {seeds[0]}", planted.by_vendor(seeds[0], count, look))
    detect_secrets()
    speed(20_000)
    print("\n".join(misses or []))


if __name__ == "__main__":
    main()
