"""Writes the rows of specs/openai-dpo.yaml and specs/openai-reinforcement.yaml: small, made up, always the same."""

from __future__ import annotations

import json
import random
from pathlib import Path

HERE = Path(__file__).parent
THINGS = ("kettle", "headset", "backpack", "rain jacket", "office chair", "desk lamp", "bike bell", "tent")
TROUBLES = ("arrived broken", "is too loud", "has a wrong colour", "came twice", "stopped working", "lacks a part")


def main() -> None:
    rng = random.Random(7)
    cases = [(thing, trouble) for thing in THINGS for trouble in TROUBLES]
    rng.shuffle(cases)
    pairs = [
        {
            "question": f"My {thing} {trouble}. What now?",
            "better": f"I am sorry that your {thing} {trouble}. Send us your order number, and we replace it.",
            "worse": f"The {thing} {trouble}? That happens. Read the manual.",
        }
        for thing, trouble in cases
    ]
    sums = [(rng.randint(10, 99), rng.randint(10, 99)) for _ in range(60)]
    items = [{"question": f"What is {a} + {b}? Reply with the number only.", "answer": str(a + b)} for a, b in sums]
    for name, rows in (("openai-pairs.jsonl", pairs), ("openai-sums.jsonl", items)):
        (HERE / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
