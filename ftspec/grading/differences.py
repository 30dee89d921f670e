"""Two models on the same prompts: a Comparison of their tallies, and one per tag."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence

import msgspec

from ftspec.common.evaluation import Comparison, Interval
from ftspec.grading.tally import WORST, Tally, by_tag, worst
from ftspec.stats import paired, statistics
from ftspec.stats.statistics import Share


def compare(found: Sequence[Tally], others: Sequence[Tally], label: str, against: str) -> list[Comparison]:
    """The accuracy of two models, and their consistency where both have one, over the prompts that both were asked."""
    by_id = {one.prompt.id: one for one in others}
    both = [(by_id[one.prompt.id], one) for one in found if one.prompt.id in by_id]
    blank = Comparison(label=label, against=against, difference=0.0, interval=Interval(low=-1.0, high=1.0))
    made = [_compared(both, lambda tally: tally.share, blank)]
    if any(_agreeing(one).total and _agreeing(two).total for one, two in both):
        made.append(_compared(both, _agreeing, msgspec.structs.replace(blank, metric="consistency")))
    return made


def _agreeing(found: Tally) -> Share:
    return statistics.pairs([found.share])[0]


Both = tuple[Tally, Tally]


def _compared(both: Sequence[Both], share: Callable[[Tally], Share], blank: Comparison) -> Comparison:
    parts = by_tag(both, lambda pair: pair[1])
    slices = _adjusted({tag: _difference(part, share, blank) for tag, part in parts.items()})
    return msgspec.structs.replace(_difference(both, share, blank), slices=slices)


def _adjusted(slices: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """The slices with their p-values corrected for how many there are."""
    known = {tag: one.p_value for tag, one in slices.items() if one.p_value is not None}
    corrected = dict(zip(known, paired.holm(list(known.values())), strict=True))
    return {tag: msgspec.structs.replace(one, adjusted=corrected.get(tag)) for tag, one in slices.items()}


def _difference(both: Sequence[Both], share: Callable[[Tally], Share], blank: Comparison) -> Comparison:
    before, after = [share(one) for one, _ in both], [share(one) for _, one in both]
    sums = paired.PairSums.of(before, after)
    difference, interval = sums.gain
    changes = [
        (two.rate - one.rate, pair[1])
        for pair, one, two in zip(both, before, after, strict=True)
        if one.total and two.total and two.weight
    ]
    lost = heapq.nsmallest(WORST, (change for change in changes if change[0] < 0), key=lambda change: change[0])
    return msgspec.structs.replace(
        blank,
        difference=difference,
        interval=interval,
        prompts=len(changes),
        p_value=paired.p_value(before, after),
        detectable=paired.detectable(interval) if changes else None,
        better=sum(change > 0 for change, _ in changes),
        worse=sum(change < 0 for change, _ in changes),
        worst=tuple(worst(one, change) for change, one in lost),
        pairs=sums.size if changes else 0.0,
    )
