"""Two models on the same prompts: the difference with its interval, a test that it is none, and what can be seen.

Like in `statistics`, a prompt with all its repeats is one cluster, and the pair of its two results is what varies.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ftspec.records import Interval
from ftspec.statistics import DOUBT, Share, Sums, Z

POWER = 0.8416212335729143
"""The standard normal's 0.8 quantile: with what is called detectable, four of five samples show it."""

EXACT = 2_000_000
"""Steps that an exact test may take; a normal approximation stands for it above."""


class PairSums(NamedTuple):
    """Both sides by themselves, and over the prompts that both answered the sums of rates and of their products."""

    base: Sums
    tuned: Sums
    prompts: float
    b: float
    t: float
    bb: float
    tt: float
    bt: float

    @classmethod
    def of(cls, base: Sequence[Share], tuned: Sequence[Share]) -> PairSums:
        both = [(b.rate, t.rate) for b, t in zip(base, tuned, strict=True) if b.total and t.total and t.weight]
        return cls(
            base=Sums.of(base),
            tuned=Sums.of(tuned),
            prompts=len(both),
            b=sum(b for b, _ in both),
            t=sum(t for _, t in both),
            bb=sum(b * b for b, _ in both),
            tt=sum(t * t for _, t in both),
            bt=sum(b * t for b, t in both),
        )

    @property
    def correlation(self) -> float:
        """Pearson's correlation of the two pass rates over prompts, 0 where there are too few or one is constant.

        A positive one narrows the interval, so it is estimated with DOUBT prompts added that only the one model passes,
        and as many that only the other does: models that agreed on every prompt so far are not known to always agree.
        """
        found = self._correlation(0.0)
        return max(0.0, self._correlation(DOUBT)) if found > 0 else found

    def _correlation(self, doubt: float) -> float:
        n = self.prompts + 2 * doubt
        if self.prompts < 2:
            return 0.0
        b, t = (self.b + doubt) / n, (self.t + doubt) / n
        spread = (self.bb + doubt - n * b * b) * (self.tt + doubt - n * t * t)
        return max(-1.0, min(1.0, (self.bt - n * b * t) / math.sqrt(spread))) if spread > 1e-12 else 0.0

    @property
    def gain(self) -> tuple[float, Interval]:
        """Tuned minus base rate, and its interval: see `gain`."""
        one, two = self.tuned.interval, self.base.interval
        p, q, r = self.tuned.rate, self.base.rate, self.correlation
        low, high = _side(p - one.low, two.high - q, r), _side(one.high - p, q - two.low, r)
        return p - q, Interval(low=max(-1.0, p - q - low), high=min(1.0, p - q + high))


def gain(base: Sequence[Share], tuned: Sequence[Share]) -> tuple[float, Interval]:
    """Tuned minus base rate, and its interval; base[i] and tuned[i] are the same prompt.

    The square-and-add interval for paired proportions: Newcombe (1998), Statistics in Medicine 17:2635-2650, method 10
    without its continuity correction of the correlation, in the general form of Zou and Donner (2008), Statistics in
    Medicine 27:1693-1702 (MOVER), which takes each side's own interval, here the clustered one. Unlike a bootstrap
    it keeps its width where every difference is the same.
    """
    return PairSums.of(base, tuned).gain


def _side(a: float, b: float, correlated: float) -> float:
    return math.sqrt(max(0.0, a * a - 2 * correlated * a * b + b * b))


def p_value(base: Sequence[Share], tuned: Sequence[Share]) -> float | None:
    """Two-sided, that base and tuned do not differ; None where no prompt was answered by both.

    The sign-flip permutation test over prompts (Fisher 1935, The Design of Experiments, 21): were there no difference,
    each prompt's difference could as well have had the other sign, whatever its repeats share. With one verdict per
    prompt it is McNemar's test. It is exact, in the mid-p form that Fagerland, Lydersen and Laake (2013), BMC Medical
    Research Methodology 13:91, recommend; the normal approximation of the same test where that would take long, or
    where weights differ.
    """
    both = [(b, t) for b, t in zip(base, tuned, strict=True) if b.total and t.total and t.weight]
    if not both:
        return None
    differences = [t.weight * (t.rate - b.rate) for b, t in both]
    total, spread = sum(differences), math.sqrt(sum(one * one for one in differences))
    if spread == 0:
        return 1.0
    exact = _exact(_whole(both)) if len({t.weight for _, t in both}) == 1 else None
    return math.erfc(abs(total) / spread / math.sqrt(2)) if exact is None else exact


def _whole(both: Sequence[tuple[Share, Share]]) -> list[int]:
    """The differences as whole numbers of a common unit."""
    unit = math.lcm(*(round(side.total) for pair in both for side in pair))
    parts = [(unit // round(b.total), unit // round(t.total)) for b, t in both]
    return [
        round(t.passed) * whole - round(b.passed) * other for (b, t), (other, whole) in zip(both, parts, strict=True)
    ]


def _exact(differences: Sequence[int]) -> float | None:
    """The mid-p value of the sign-flip test: the distribution of the sum is built size of difference by size."""
    sizes = Counter(abs(one) for one in differences if one)
    unit = math.gcd(*sizes)
    reach = sum(size // unit * count for size, count in sizes.items())
    if reach * sum(sizes.values()) > EXACT:
        return None
    chances = [1.0]  # chances[i]: that the differences with a positive sign sum to i units
    for size, count in sizes.items():
        chances = _with(chances, size // unit, count)
    observed = abs(sum(differences)) // unit
    beyond = sum(chance for i, chance in enumerate(chances) if abs(2 * i - reach) > observed)
    at = sum(chance for i, chance in enumerate(chances) if abs(2 * i - reach) == observed)
    return min(1.0, beyond + at / 2)


def _with(chances: Sequence[float], size: int, count: int) -> list[float]:
    """The distribution after `count` more differences of this size, each positive or not like a fair coin."""
    coins = [_fair(count, j) for j in range(count + 1)]
    found = [0.0] * (len(chances) + size * count)
    for i, chance in enumerate(chances):
        for j, coin in enumerate(coins):
            found[i + size * j] += chance * coin
    return found


def _fair(count: int, heads: int) -> float:
    """Binomial probability of so many heads of a fair coin, for any count."""
    log = math.lgamma(count + 1) - math.lgamma(heads + 1) - math.lgamma(count - heads + 1)
    return math.exp(log - count * math.log(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for how many there are: Holm (1979), Scandinavian Journal of Statistics 6:65-70.

    Whatever their dependence, the chance that any is below 0.05 where nothing differs is at most 0.05.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def detectable(interval: Interval) -> float:
    """The smallest difference that a sample as large as this one shows with 80 percent power (5 percent, two-sided).

    (1.96 + 0.84) standard errors: Bloom (1995), Evaluation Review 19:547-556; the standard error is that of the
    interval.
    """
    return (Z + POWER) * standard_error(interval)


def standard_error(interval: Interval) -> float:
    """Of the estimate that has this interval: half its width over 1.96."""
    return (interval.high - interval.low) / 2 / Z
