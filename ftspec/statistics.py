"""What an evaluation's numbers are worth: intervals of shares, consistency of verdicts, the interval of a gain.

Prompts are the sample, repeats of one prompt are not independent: every interval here treats a prompt with all its
repeats as one cluster. Nothing is random, so the same answers always give the same report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ftspec.records import Interval, Quadrant

Z = 1.959963984540054
"""The standard normal's 0.975 quantile: every interval is two-sided, 95 percent."""

TAIL = 0.025
"""What is outside of an interval, on each side."""

ACCURATE = 0.8
"""From this accuracy on a model counts as right, in the quadrant."""

CONSISTENT = 0.9
"""From this consistency on it counts as repeatable. A model that passes each prompt with p = 0.95 has 0.905."""


class Share(NamedTuple):
    """`passed` of `total` verdicts of one prompt (its repeats), each of them counted `weight` times."""

    passed: float
    total: float
    weight: float = 1.0

    @property
    def rate(self) -> float:
        """The share that passes; 0 where there is no verdict."""
        return self.passed / self.total if self.total else 0.0


def wilson(share: float, n: float) -> Interval:
    """The score interval of a proportion seen in n independent trials; (0, 1) when n is 0.

    Wilson (1927), JASA 22:209-212; method 3 of Newcombe (1998), Statistics in Medicine 17:857-872, which compares it
    with six others. `n` may be an effective sample size and need not be whole.
    """
    if n <= 0:
        return Interval(low=0.0, high=1.0)
    middle = share + Z * Z / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    return Interval(low=max(0.0, (middle - half) / scale), high=min(1.0, (middle + half) / scale))


def rate(shares: Sequence[Share]) -> float:
    """The share of all verdicts that pass; 0 when there are none."""
    total = sum(share.weight * share.total for share in shares)
    return sum(share.weight * share.passed for share in shares) / total if total else 0.0


def effective_size(shares: Sequence[Share]) -> float:
    """How many independent verdicts the clustered ones are worth: between the number of prompts and of verdicts.

    The verdicts divided by the design effect (Kish 1965, Survey Sampling, 5.4): the variance of the ratio estimator
    over clusters (Cochran 1977, Sampling Techniques, 6.3) over that of a simple random sample. Where every verdict is
    the same no design effect can be measured, and a prompt counts once.
    """
    asked = [share for share in shares if share.total and share.weight]
    p, verdicts, clusters = rate(asked), sum(share.total for share in asked), _worth(asked)
    if len(asked) < 2 or p in (0.0, 1.0):
        return clusters
    squares = sum((share.weight * (share.passed - p * share.total)) ** 2 for share in asked)
    total = sum(share.weight * share.total for share in asked)
    variance = len(asked) / (len(asked) - 1) * squares / total**2
    return min(max(p * (1 - p) / variance, clusters), verdicts) if variance else float(verdicts)


def _worth(asked: Sequence[Share]) -> float:
    """How many prompts of equal weight the weighted ones are worth: Kish (1965), 11.2C."""
    weights = [share.weight for share in asked]
    return sum(weights) ** 2 / sum(weight * weight for weight in weights) if weights else 0.0


def interval(shares: Sequence[Share]) -> Interval:
    """The interval of `rate`: Wilson's at the effective sample size.

    The form is Korn and Graubard's (1998), Survey Methodology 24:193-201, with the score interval in the place of the
    exact one, as compared by Franco et al. (2019), Journal of Survey Statistics and Methodology 7:334-364.
    """
    return wilson(rate(shares), effective_size(shares))


def agreement(counts: Sequence[int]) -> float | None:
    """The share of pairs of verdicts that agree, counts[j] of them saying j; None below two verdicts.

    P_i of Fleiss (1971), Psychological Bulletin 76:378-382, equation 2.
    """
    n = sum(counts)
    return (sum(count * count for count in counts) - n) / (n * (n - 1)) if n > 1 else None


def pairs(shares: Sequence[Share]) -> list[Share]:
    """For every prompt: how many pairs of its verdicts agree, of how many; of none with fewer than two verdicts."""
    found = []
    for passed, total, weight in shares:
        agreeing = agreement([round(passed), round(total - passed)])
        count = total * (total - 1) / 2
        found.append(Share(0.0, 0.0, weight) if agreeing is None else Share(agreeing * count, count, weight))
    return found


def consistency(shares: Sequence[Share]) -> tuple[float, Interval] | None:
    """How consistently one prompt gets one verdict: agreeing pairs of repeats over all pairs, and its interval.

    None where no prompt has two verdicts. With equally many repeats this is the mean of Fleiss's P_i.
    """
    agreeing = pairs(shares)
    return (rate(agreeing), interval(agreeing)) if any(pair.total for pair in agreeing) else None


def subsets(shares: Sequence[Share], k: int, *, every: bool) -> list[Share]:
    """For every prompt: of how many of its subsets of k verdicts one passes at least, or (`every`) all do.

    `rate` of these is the unbiased estimator of pass@k, 1 - C(n - c, k) / C(n, k) of Chen et al. (2021),
    arXiv:2107.03374, equation 1; with `every` that of pass^k, C(c, k) / C(n, k), of Yao et al. (2024), tau-bench,
    arXiv:2406.12045, section 4. Both are over n verdicts of a prompt of which c pass; a prompt with fewer than k
    verdicts says nothing.
    """
    found = []
    for passed, total, weight in shares:
        c, n = round(passed), round(total)
        every_one, none = (math.comb(c, k), math.comb(n - c, k)) if n >= k else (0, 0)
        count = math.comb(n, k)
        # Huge numbers of subsets are scaled down: only their ratio and the correlation between them matter.
        scale = min(1.0, n / count) if count else 0.0
        found.append(Share(scale * (every_one if every else count - none), scale * count, weight))
    return found


def quantile(groups: Sequence[Sequence[float]], q: float) -> tuple[float, Interval | None]:
    """The q-quantile of measurements in groups (one per prompt), and its interval.

    The quantile is the inverse of the empirical distribution (definition 1 of Hyndman and Fan 1996, American
    Statistician 50:361-365). Its interval has the order statistics at the ends of the interval of the share of
    measurements below it: Woodruff (1952), JASA 47:635-646. None where there are too few for an upper end.
    """
    ordered = sorted(value for group in groups for value in group)
    value = ordered[max(0, math.ceil(q * len(ordered)) - 1)]
    size = effective_size([Share(sum(one <= value for one in group), len(group)) for group in groups])
    if q**size > TAIL:  # even the largest may lie below the quantile
        return value, None
    ends = wilson(q, size)
    low, high = (ordered[max(0, math.ceil(end * len(ordered)) - 1)] for end in (ends.low, ends.high))
    return value, Interval(low=low, high=high)


def gain(base: Sequence[Share], tuned: Sequence[Share]) -> tuple[float, Interval]:
    """Tuned minus base rate, and its interval; base[i] and tuned[i] are the same prompt.

    The square-and-add interval for paired proportions: Newcombe (1998), Statistics in Medicine 17:2635-2650, method 10
    without its continuity correction of the correlation, in the general form of Zou and Donner (2008), Statistics in
    Medicine 27:1693-1702 (MOVER), which takes each side's own interval, here the clustered one. Unlike a bootstrap
    it keeps its width where every difference is the same.
    """
    one, two = interval(tuned), interval(base)
    p, q, r = rate(tuned), rate(base), correlation(base, tuned)
    difference = p - q
    low = _side(p - one.low, two.high - q, r)
    high = _side(one.high - p, q - two.low, r)
    return difference, Interval(low=max(-1.0, difference - low), high=min(1.0, difference + high))


def _side(a: float, b: float, correlated: float) -> float:
    return math.sqrt(max(0.0, a * a - 2 * correlated * a * b + b * b))


def correlation(base: Sequence[Share], tuned: Sequence[Share]) -> float:
    """Pearson's correlation of the two pass rates over prompts answered on both sides; 0 where one is constant."""
    both = [(b.rate, t.rate) for b, t in zip(base, tuned, strict=True) if b.total and t.total]
    if len(both) < 2:
        return 0.0
    mean_b, mean_t = sum(b for b, _ in both) / len(both), sum(t for _, t in both) / len(both)
    product = sum((b - mean_b) * (t - mean_t) for b, t in both)
    spread = sum((b - mean_b) ** 2 for b, _ in both) * sum((t - mean_t) ** 2 for _, t in both)
    return max(-1.0, min(1.0, product / math.sqrt(spread))) if spread else 0.0


def quadrant(accuracy: float, consistent: float | None) -> Quadrant:
    """Where a model stands on the two axes (thresholds: ACCURATE, CONSISTENT)."""
    if consistent is None:
        return "not measured"
    if consistent >= CONSISTENT:
        return "reliable and repeatable" if accuracy >= ACCURATE else "repeatedly wrong"
    return "right but inconsistent" if accuracy >= ACCURATE else "neither"
