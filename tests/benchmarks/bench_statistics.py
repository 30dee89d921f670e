"""Do the intervals cover the truth, and does the gain gate pass by luck? Tables for docs/statistics.md.

    python tests/benchmarks/bench_statistics.py [--trials 2000] [--write]

Evaluations are drawn whose truth is known: each prompt's chance to pass is beta-distributed with mean p and intraclass
correlation rho, its repeats are binomial. Draws and sums are numpy's; every interval and every verdict is ftspec's own
code, called once per evaluation. Needs numpy, which ftspec itself does not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ftspec.common.evaluation import Interval, Measured
from ftspec.stats.evidence import decide
from ftspec.stats.paired import PairSums
from ftspec.stats.statistics import Sums

DOCS = Path(__file__).parents[2] / "docs" / "statistics.md"
PROMPTS = (20, 50, 100, 200, 500)
CHANCES = (0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95)
REPEATS = {1: (0.5,), 3: (0.1, 0.5, 0.9), 5: (0.1, 0.5, 0.9)}
"""Repeats → intraclass correlations; with one answer per prompt it makes no difference."""
LIFT = 0.3
"""Of what the base model fails, so much the tuned one passes, where there is a gain."""


class Cell(NamedTuple):
    prompts: int
    p: float
    repeats: int
    rho: float


def cells() -> Iterator[Cell]:
    for n in PROMPTS:
        for p in CHANCES:
            yield from (Cell(n, p, repeats, rho) for repeats, rhos in REPEATS.items() for rho in rhos)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="evaluations per cell of the grid")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/statistics.md")
    options = parser.parse_args()
    started, rng = time.monotonic(), np.random.default_rng(20260101)
    single = {cell: coverage(cell, options.trials, rng) for cell in cells()}
    agreement = {cell: agreed(cell, options.trials, rng) for cell in cells() if cell.repeats > 1}
    paired = {cell: gains(cell, options.trials // 2, rng) for cell in cells()}
    text = "\n".join(tables(single, agreement, paired, options.trials))
    print(text)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    if options.write:
        page = DOCS.read_text(encoding="utf-8")
        before, _, rest = page.partition("<!-- simulation -->")
        after = rest.partition("<!-- /simulation -->")[2]
        DOCS.write_text(f"{before}<!-- simulation -->\n\n{text}\n\n<!-- /simulation -->{after}", encoding="utf-8")
    sys.exit(not sound(single, agreement, paired))


def draw(chances: Any, repeats: int, rng: Any) -> Any:
    """Passed answers per evaluation (row) and prompt (column)."""
    return rng.binomial(repeats, chances)


def difficulties(cell: Cell, trials: int, rng: Any) -> Any:
    scale = 1 / cell.rho - 1
    return rng.beta(cell.p * scale, (1 - cell.p) * scale, size=(trials, cell.prompts))


def sums(passed: Any, total: float) -> list[Sums]:
    """One Sums per evaluation, of prompts with `total` verdicts each."""
    n = passed.shape[1]
    one, two = passed.sum(axis=1), (passed.astype(float) ** 2).sum(axis=1)
    return [
        Sums(n, n, n * total, n * total, float(a), n * total * total, float(b), float(a) * total)
        for a, b in zip(one, two, strict=True)
    ]


def covered(intervals: list[Interval], truth: float) -> float:
    return sum(one.low - 1e-9 <= truth <= one.high + 1e-9 for one in intervals) / len(intervals)


def coverage(cell: Cell, trials: int, rng: Any) -> float:
    """How often the interval of the accuracy covers it."""
    passed = draw(difficulties(cell, trials, rng), cell.repeats, rng)
    return covered([one.interval for one in sums(passed, cell.repeats)], cell.p)


def agreed(cell: Cell, trials: int, rng: Any) -> float:
    """How often the interval of the consistency covers it: 1 - 2 p (1 - p) (1 - rho) for beta-distributed chances."""
    passed, r = draw(difficulties(cell, trials, rng), cell.repeats, rng), cell.repeats
    pairs = (passed * (passed - 1) + (r - passed) * (r - passed - 1)) / 2
    truth = 1 - 2 * cell.p * (1 - cell.p) * (1 - cell.rho)
    return covered([one.interval for one in sums(pairs, r * (r - 1) / 2)], truth)


class Gains(NamedTuple):
    """Coverage of the gain's interval without and with a gain, and how often `gain: {min: 0}` passes without one."""

    without: float
    with_: float
    passes: float


def gains(cell: Cell, trials: int, rng: Any) -> Gains:
    """Prompts are equally hard for both models in half of the evaluations, and independently hard in the others."""
    base = difficulties(cell, trials, rng)
    other = difficulties(cell, trials, rng)
    same = np.where((np.arange(trials) % 2 == 0)[:, None], base, other)
    lifted = same + (1 - same) * LIFT
    before = draw(base, cell.repeats, rng)
    none = pair_sums(before, draw(same, cell.repeats, rng), cell.repeats)
    some = pair_sums(before, draw(np.minimum(lifted, 1), cell.repeats, rng), cell.repeats)
    without, with_ = [one.gain for one in none], [one.gain for one in some]
    passes = sum(
        decide("gain", "", Measured(value=value, interval=interval, n=cell.prompts), low=0.0).passed
        for value, interval in without
    )
    return Gains(
        without=covered([interval for _, interval in without], 0.0),
        with_=covered([interval for _, interval in with_], (1 - cell.p) * LIFT),
        passes=passes / trials,
    )


def pair_sums(before: Any, after: Any, repeats: int) -> list[PairSums]:
    b, t = before / repeats, after / repeats
    n, apart = before.shape[1], t - b
    columns = [(t * (1 - b)).mean(1), (b * (1 - t)).mean(1), apart.mean(1), apart.var(1) / n]
    sides = zip(sums(before, repeats), sums(after, repeats), *columns, strict=True)
    return [PairSums(one, two, *map(float, rest)) for one, two, *rest in sides]


def sound(single: dict[Cell, float], agreement: dict[Cell, float], paired: dict[Cell, Gains]) -> bool:
    """What is promised: each interval's mean coverage is 0.94 to 0.96, none is below 0.90, and few false passes."""
    sides = list(zip(*paired.values(), strict=True))
    kinds = [list(single.values()), list(agreement.values()), list(sides[0]), list(sides[1])]
    means = [float(np.mean(kind)) for kind in kinds]
    lowest, most = min(map(min, kinds)), max(sides[2])
    return all(0.94 <= mean <= 0.96 for mean in means) and lowest >= 0.90 and most <= 0.05


def tables(
    single: dict[Cell, float], agreement: dict[Cell, float], paired: dict[Cell, Gains], trials: int
) -> Iterator[str]:
    yield f"{len(single)} cells: {', '.join(map(str, PROMPTS))} prompts; mean accuracy {', '.join(map(str, CHANCES))};"
    yield f"1, 3 and 5 repeats; rho 0.1, 0.5 and 0.9. {trials:,} evaluations per cell ({trials // 2:,} of two models)."
    yield ""
    yield "| | mean | lowest | highest |"
    yield "|---|---:|---:|---:|"
    yield row("coverage of the accuracy's interval", list(single.values()))
    yield row("coverage of the consistency's interval", list(agreement.values()))
    yield row("coverage of the gain's interval, nothing gained", [one.without for one in paired.values()])
    yield row("coverage of the gain's interval, something gained", [one.with_ for one in paired.values()])
    yield row("`gain: {min: 0}` passes, nothing gained", [one.passes for one in paired.values()])
    yield ""
    yield "Coverage of the accuracy's interval, mean over rho (lowest in brackets), and the share of false passes of"
    yield "`gain: {min: 0}` (highest over rho):"
    yield ""
    heads = [f"{p:g}" for p in CHANCES]
    yield f"| prompts × repeats | p = {' | '.join(heads)} | false passes, mean (highest) |"
    yield "|---|" + "---:|" * (len(CHANCES) + 1)
    for n in PROMPTS:
        for repeats in REPEATS:
            shown = []
            for p in CHANCES:
                found = [value for cell, value in single.items() if cell[:3] == (n, p, repeats)]
                shown.append(f"{np.mean(found):.3f} ({min(found):.3f})")
            passes = [one.passes for cell, one in paired.items() if (cell.prompts, cell.repeats) == (n, repeats)]
            yield f"| {n} × {repeats} | {' | '.join(shown)} | {np.mean(passes):.3f} ({max(passes):.3f}) |"


def row(name: str, values: list[float]) -> str:
    return f"| {name} | {np.mean(values):.4f} | {min(values):.3f} | {max(values):.3f} |"


if __name__ == "__main__":
    main()
