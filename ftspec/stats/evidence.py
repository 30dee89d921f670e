"""The rule by which a gate decides: the whole interval on the right side passes, on the wrong side fails.

Anything between is too thin to tell, and then the verdict says how many prompts would decide.
"""

from __future__ import annotations

import math
from typing import Literal

from ftspec.common.evaluation import Interval, Measured, Outcome, Verdict, Worst
from ftspec.common.figures import beside
from ftspec.stats.paired import HALVINGS, POWER, score_interval, standard_error
from ftspec.stats.statistics import Z, wilson

Rule = Literal["interval", "estimate"]
"""interval: the 95 percent interval decides. estimate: the measured value itself, however few prompts it rests on."""

MOST = 10_000_000
"""More prompts than this nobody asks: `needed` is then None."""


def decide(
    gate: str,
    what: str,
    measured: Measured,
    *,
    low: float | None = None,
    high: float | None = None,
    rule: Rule = "interval",
    worst: tuple[Worst, ...] = (),
) -> Verdict:
    """Whether the measured value lies within the bounds `low` and `high`, and a message that says by how much.

    A value without an interval is judged by itself. So is a bound of 1 or more below, or of 0 or less above: no sample
    proves perfection, and one failure refutes it.

    Args:
        what: the beginning of the message: what was measured, with its value and interval.
        worst: cases that speak most against passing.
    """
    sides = [_side(measured, low, 1, rule), _side(measured, high, -1, rule)]
    outcome: Outcome = "FAIL" if "FAIL" in sides else "PASS" if set(sides) == {"PASS"} else "INSUFFICIENT_EVIDENCE"
    value = measured.value
    needed = None
    if low is not None and sides[0] == "FAIL":
        message = f"{what}: {beside(low - value, 0)} short of the wanted {low:g}"
    elif high is not None and sides[1] == "FAIL":
        message = f"{what}: {beside(value - high, 0)} above the allowed {high:g}"
    else:
        bounds = {"at least": low, "at most": high}
        wanted = " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None)
        message = f"{what}, wanted {wanted}"
    if outcome == "INSUFFICIENT_EVIDENCE":
        open_bound = low if sides[0] == outcome else high
        needed = prompts_needed(measured, open_bound or 0.0)
        message += f": {too_few(measured.n)}{_about(needed)}"
    return Verdict(
        gate=gate,
        passed=outcome == "PASS",
        measured=value,
        message=message,
        outcome=outcome,
        needed=needed,
        worst=() if outcome == "PASS" else worst[:3],
    )


def too_few(prompts: int) -> str:
    """What a verdict says of a sample that cannot decide."""
    return f"{prompts:,} prompts are too few to tell" if prompts != 1 else "1 prompt is too few to tell"


def _about(needed: int | None) -> str:
    return f", about {needed:,} would" if needed else "; the value is so near the bound that no number would"


def _side(measured: Measured, bound: float | None, sign: int, rule: Rule) -> Outcome:
    """One bound: sign 1 for a lower one, -1 for an upper one. Rounded as people read: 0.1 + 0.2 is not above 0.3."""
    if bound is None:
        return "PASS"
    extreme = bound >= 1 if sign > 0 else bound <= 0
    if measured.interval is None or rule == "estimate" or extreme:
        return "PASS" if round(sign * (measured.value - bound), 9) >= 0 else "FAIL"
    ends = (measured.interval.low, measured.interval.high)
    near, far = ends if sign > 0 else ends[::-1]
    if round(sign * (near - bound), 9) >= 0:
        return "PASS"
    return "FAIL" if round(sign * (far - bound), 9) < 0 else "INSUFFICIENT_EVIDENCE"


def prompts_needed(measured: Measured, bound: float) -> int | None:
    """About how many prompts would decide with 80 percent power, if the value stays; None for none or too many.

    The usual sample size, (1.96 SE₀ + 0.84 SE₁)² / distance², as a multiple of what there is, with the standard
    error at the bound and at the value: of a share, Chow, Shao and Wang (2008), Sample Size Calculations in Clinical
    Research, 4.1.1; of anything else both are that of the interval. Of a difference whose pairs are known it is the
    size whose own interval ends 0.84 SE₁ before the bound: where the models hardly differ, that shrinks faster.
    """
    distance = abs(measured.value - bound)
    if measured.interval is None or distance < 1e-9 or not measured.n:
        return None
    size = None if measured.pairs else _size(measured.value, measured.interval)
    if size and 0 < bound < 1:
        p = measured.value
        wanted = ((Z * math.sqrt(bound * (1 - bound)) + POWER * math.sqrt(p * (1 - p))) / distance) ** 2
        ratio = wanted / size
    elif measured.pairs:
        ratio = _pairs(measured.value, measured.interval, measured.pairs, bound) / measured.pairs
    else:
        ratio = ((Z + POWER) * standard_error(measured.interval) / distance) ** 2
    needed = max(measured.n + 1, math.ceil(measured.n * ratio))
    return needed if needed <= MOST else None


def _pairs(value: float, interval: Interval, pairs: float, bound: float) -> float:
    """How many pairs of answers would decide about a difference, if it and the share of pairs that differ stay."""

    def of(apart: float, n: float) -> Interval:
        return score_interval((apart + value) / 2, (apart - value) / 2, n)

    few, many = abs(value), 1.0
    for _ in range(HALVINGS):  # the share of pairs that differ: the more, the wider
        apart = (few + many) / 2
        few, many = (apart, many) if of(apart, pairs).low > interval.low else (few, apart)
    least, most = pairs, 1e9
    for _ in range(HALVINGS):
        n = math.sqrt(least * most)
        end = of(few, n).low if bound < value else of(few, n).high
        reach = abs(value - end) + POWER * math.sqrt(max(0.0, few - value**2) / n)
        least, most = (n, most) if reach > abs(value - bound) else (least, n)
    return most


def _size(share: float, interval: Interval) -> float | None:
    """The size of the sample whose Wilson interval this is; None where it is none."""
    if not 0 <= share <= 1:
        return None
    few, many, width = 1e-3, 1e12, interval.high - interval.low
    for _ in range(100):
        middle = math.sqrt(few * many)
        found = wilson(share, middle)
        few, many = (middle, many) if found.high - found.low > width else (few, middle)
    found = wilson(share, few)
    return few if abs(found.low - interval.low) + abs(found.high - interval.high) < 1e-6 else None
