"""What an evaluation's numbers are worth: intervals of shares and quantiles, consistency of verdicts, pass@k.

Prompts are the sample, repeats of one prompt are not independent: every interval here treats a prompt with all its
repeats as one cluster. The same answers always give the same report. docs/statistics.md explains and checks it all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ftspec.common.evaluation import Interval, Quadrant

Z = 1.959963984540054
"""The standard normal's 0.975 quantile: every interval is two-sided, 95 percent."""

TAIL = 0.025
"""What is outside of an interval, on each side."""

DOUBT = 0.25
"""Prompts added on either side when a design effect is estimated: see `Sums.size`."""

DRAWS = 1000
"""Resamples of a bootstrap."""
BOOTSTRAPPED = 2000
"""Of more prompts no bootstrap is made."""

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
    # At 0 and 1 an end is exactly that, but for the rounding.
    low = (middle - half) / scale if share > 0 else 0.0
    high = (middle + half) / scale if share < 1 else 1.0
    return Interval(low=max(0.0, low), high=min(1.0, high))


class Sums(msgspec.Struct, frozen=True):
    """What the intervals need to know of a sample of Shares, summed over its prompts, each times its weight.

    `worth` is how many prompts of equal weight the weighted ones are worth: Kish (1965), Survey Sampling, 11.2C.
    """

    prompts: float
    worth: float
    verdicts: float
    total: float
    passed: float
    total2: float
    passed2: float
    both: float

    @classmethod
    def of(cls, shares: Sequence[Share]) -> Sums:
        asked = [share for share in shares if share.total and share.weight]
        weights = [share.weight for share in asked]
        totals = [share.weight * share.total for share in asked]
        passed = [share.weight * share.passed for share in asked]
        return cls(
            prompts=len(asked),
            worth=sum(weights) ** 2 / sum(weight * weight for weight in weights) if asked else 0.0,
            verdicts=sum(share.total for share in asked),
            total=sum(totals),
            passed=sum(passed),
            total2=sum(total * total for total in totals),
            passed2=sum(one * one for one in passed),
            both=sum(one * total for one, total in zip(passed, totals, strict=True)),
        )

    @property
    def rate(self) -> float:
        return self.passed / self.total if self.total else 0.0

    @property
    def size(self) -> float:
        """How many independent verdicts these are worth: between the number of prompts and of verdicts.

        The verdicts divided by the design effect (Kish 1965, 5.4): the variance of the ratio estimator over clusters
        (Cochran 1977, Sampling Techniques, 6.3) over that of a simple random sample. Where almost every verdict is
        the same there is little to estimate a design effect from, so it is estimated with DOUBT prompts added that
        always pass, and as many that never do: a prompt then counts about once. (As Agresti and Coull 1998, American
        Statistician 52:119-126, steady a proportion; found by the simulation in docs/statistics.md.)
        """
        if self.prompts < 2:
            return self.worth
        mean = self.total / self.prompts
        n, total = self.prompts + 2 * DOUBT, self.total + 2 * DOUBT * mean
        p = (self.passed + DOUBT * mean) / total
        squares = self.passed2 - 2 * p * self.both + p * p * self.total2
        squares += DOUBT * mean * mean * ((1 - p) ** 2 + p * p)
        size = self.prompts * p * (1 - p) * (n - 1) * total**2 / (n * n * squares)
        return min(max(size, self.worth), self.worth * self.verdicts / self.prompts)

    @property
    def interval(self) -> Interval:
        return wilson(self.rate, self.size)


def rate(shares: Sequence[Share]) -> float:
    """The share of all verdicts that pass; 0 when there are none."""
    return Sums.of(shares).rate


def effective_size(shares: Sequence[Share]) -> float:
    """How many independent verdicts the clustered ones are worth: see `Sums.size`."""
    return Sums.of(shares).size


def interval(shares: Sequence[Share]) -> Interval:
    """The interval of `rate`: Wilson's at the effective sample size.

    The form is Korn and Graubard's (1998), Survey Methodology 24:193-201, with the score interval in the place of the
    exact one, as compared by Franco et al. (2019), Journal of Survey Statistics and Methodology 7:334-364.
    """
    return Sums.of(shares).interval


def bootstrap(shares: Sequence[Share]) -> Interval | None:
    """The interval of `rate` by resampling prompts with all their repeats: the percentiles of DRAWS resamples.

    The cluster bootstrap of Field and Welsh (2007), JRSS B 69:369-390. It assumes no form, and says too little where
    almost every verdict is the same, so it stands beside the interval and never decides. Seeded: the same shares give
    the same interval. None for more than BOOTSTRAPPED prompts, where the two agree and it takes long.
    """
    import random

    asked = [share for share in shares if share.total and share.weight]
    if not 2 <= len(asked) <= BOOTSTRAPPED:
        return None
    passed = [share.weight * share.passed for share in asked]
    totals = [share.weight * share.total for share in asked]
    over, under = random.Random(0), random.Random(0)  # of one seed: they draw the same prompts
    count = len(asked)
    means = sorted(sum(over.choices(passed, k=count)) / sum(under.choices(totals, k=count)) for _ in range(DRAWS))
    return Interval(low=means[math.floor(TAIL * DRAWS)], high=means[math.ceil((1 - TAIL) * DRAWS) - 1])


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
    verdicts says nothing, and every other counts alike, however many it has.
    """
    most = max((round(share.total) for share in shares), default=0)
    found = []
    for passed, total, weight in shares:
        c, n = round(passed), round(total)
        count = math.comb(n, k)
        passing = math.comb(c, k) if every else count - math.comb(n - c, k)
        # As many for each prompt: only their ratio and the correlation between them matter.
        found.append(Share(most * passing / count, most, weight) if count else Share(0.0, 0.0, weight))
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


def quadrant(accuracy: float, consistent: float | None) -> Quadrant:
    """Where a model stands on the two axes (thresholds: ACCURATE, CONSISTENT)."""
    if consistent is None:
        return "not measured"
    if consistent >= CONSISTENT:
        return "reliable and repeatable" if accuracy >= ACCURATE else "repeatedly wrong"
    return "right but inconsistent" if accuracy >= ACCURATE else "neither"
