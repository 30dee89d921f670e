"""Two models on the same prompts: the difference with its interval, a test that it is none, and what can be seen.

Like in `statistics`, a prompt with all its repeats is one cluster, and the pair of its two results is what varies.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from ftspec.common.evaluation import Interval
from ftspec.stats.statistics import Share, Sums, Z

POWER = 0.8416212335729143
"""The standard normal's 0.8 quantile: with what is called detectable, four of five samples show it."""

EXACT = 2_000_000
"""Steps that an exact test may take; a normal approximation stands for it above."""

TINY = 1e-15
"""A variance below this is none."""

HALVINGS = 40
"""Of the interval from -1 to 1: its ends are exact to 1e-12."""


class PairSums(msgspec.Struct, frozen=True):
    """Both sides over the prompts that both answered, and sums over these of what the pairs are worth.

    `won` and `lost` are the weighted shares of pairs of answers to one prompt (each of the tuned model's beside each of
    the base model's) in which only the tuned one passes, or only the base one; `apart` is the weighted mean of
    the prompts' differences (`won - lost`, rounded once); `squares` is the sum of the squared differences from that
    mean, each times its squared weight, over the squared sum of weights.
    """

    base: Sums
    tuned: Sums
    won: float
    lost: float
    apart: float
    squares: float

    @classmethod
    def of(cls, base: Sequence[Share], tuned: Sequence[Share]) -> PairSums:
        both = _counting(base, tuned)
        rates = [(t.weight, b.rate, t.rate) for b, t in both]
        whole = sum(weight for weight, _, _ in rates) or 1.0
        apart = math.fsum(weight * (t - b) for weight, b, t in rates) / whole
        return cls(
            base=Sums.of([b for b, _ in both]),
            tuned=Sums.of([t for _, t in both]),
            won=sum(weight * t * (1 - b) for weight, b, t in rates) / whole,
            lost=sum(weight * b * (1 - t) for weight, b, t in rates) / whole,
            apart=apart,
            squares=sum((weight * (t - b - apart)) ** 2 for weight, b, t in rates) / whole**2,
        )

    @property
    def size(self) -> float:
        """How many independent pairs of answers these are worth: between the number of prompts and of answers.

        The variance of one such pair over the variance of the mean over prompts, as in `Sums.size`. Where the prompts
        do not differ nothing tells how much a prompt's repeats share: then they may share all, and the lower bound
        stands, as where there is one prompt alone.
        """
        worth = self.tuned.worth
        most = worth * min(self.base.verdicts, self.tuned.verdicts) / max(self.tuned.prompts, 1.0)
        alone = self.won + self.lost - self.apart**2
        return min(max(alone / self.squares, worth), most) if self.squares > TINY else worth

    @property
    def gain(self) -> tuple[float, Interval]:
        """The mean of the prompts' differences, and its interval: see `gain`."""
        if not self.tuned.prompts:
            return 0.0, Interval(low=-1.0, high=1.0)
        open_ = max(self.won + self.lost, abs(self.apart))
        return self.apart, score_interval((open_ + self.apart) / 2, (open_ - self.apart) / 2, self.size)


def _counting(base: Sequence[Share], tuned: Sequence[Share]) -> list[tuple[Share, Share]]:
    """The prompts that both answered, but for those that weigh nothing."""
    return [(b, t) for b, t in zip(base, tuned, strict=True) if b.total and t.total and t.weight]


def gain(base: Sequence[Share], tuned: Sequence[Share]) -> tuple[float, Interval]:
    """The mean difference of the prompts that both answered, and its interval; base[i], tuned[i]: the same prompt.

    A prompt's difference is that of its two rates: one that lost answers to errors counts as much as any other, here as
    in the p-value. Where none is lost, the gain is the tuned model's rate minus the base model's.

    Tango's score interval of paired proportions at the effective number of pairs. With one answer per prompt it is his
    interval as published; with repeats the variance of the score statistic is that of whole prompts, as in Yang, Sun
    and Hardin (2012), Pharmaceutical Statistics 11:386-393, who compare score intervals of clustered pairs.
    """
    return PairSums.of(base, tuned).gain


def score_interval(won: float, lost: float, n: float) -> Interval:
    """The interval of `won - lost`, shares of n pairs in which only the one side passes; n need not be whole.

    Tango (1998), Statistics in Medicine 17:891-908: all differences that a score test does not reject. The root of its
    statistic is found by halving, for it falls as the difference grows.
    """
    apart = won - lost

    def distance(difference: float) -> float:
        """The score statistic: how many standard errors the measured difference lies above this one."""
        b = (2 - apart) * difference - won - lost
        c = -lost * difference * (1 - difference)
        loses = (math.sqrt(max(0.0, b * b - 8 * c)) - b) / 4  # the likeliest `lost`, were this the difference
        variance = max(0.0, 2 * loses + difference * (1 - difference)) / n
        far = apart - difference
        return far / math.sqrt(variance) if variance > TINY else math.copysign(math.inf, far) if far else 0.0

    low, high = _falls(distance, Z, -1.0, apart), _falls(distance, -Z, apart, 1.0)
    return Interval(low=low, high=high)


def _falls(distance: Callable[[float], float], to: float, low: float, high: float) -> float:
    """Where a falling function reaches a value: between `low`, where it is larger, and `high`."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if distance(middle) > to else (low, middle)
    return (low + high) / 2


def p_value(base: Sequence[Share], tuned: Sequence[Share]) -> float | None:
    """Two-sided, that base and tuned do not differ; None where no prompt was answered by both.

    The sign-flip permutation test over prompts (Fisher 1935, The Design of Experiments, 21): were there no difference,
    each prompt's difference could as well have had the other sign, whatever its repeats share. With one verdict per
    prompt it is McNemar's test. It is exact, in the mid-p form that Fagerland, Lydersen and Laake (2013), BMC Medical
    Research Methodology 13:91, recommend; the normal approximation of the same test where that would take long, or
    where weights differ.
    """
    both = _counting(base, tuned)
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
