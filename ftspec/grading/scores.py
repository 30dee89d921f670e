"""How one model did: a Score of its tallies, and one per tag."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

import msgspec

from ftspec.common.evaluation import Measured, Score, Worst
from ftspec.grading.tally import WORST, Tally, by_tag, worst
from ftspec.stats import statistics
from ftspec.stats.statistics import Share


def score(label: str, found: Sequence[Tally], seconds: float = 0.0, *, slices: bool = True) -> Score:
    """How one model did; with a Score per tag where the prompts have tags."""
    shares = [one.share for one in found]
    consistent, consistent_interval = statistics.consistency(shares) or (None, None)
    accuracy, repeats = statistics.rate(shares), max((one.repeats for one in found), default=0)
    measures = _graders(found)
    costs = [one.cost for one in found if one.cost is not None]
    return Score(
        model=label,
        prompts=len(found),
        repeats=repeats,
        accuracy=accuracy,
        interval=statistics.interval(shares),
        bootstrap_interval=statistics.bootstrap(shares) if slices else None,
        consistency=consistent,
        consistency_interval=consistent_interval,
        quadrant=statistics.quadrant(accuracy, consistent),
        graders={name: measured.value for name, measured in measures.items()},
        measures=measures,
        pass_at=_passes(shares, repeats, every=False),
        pass_all=_passes(shares, repeats, every=True),
        errors=sum(one.errors for one in found),
        prompt_tokens=sum(one.prompt_tokens for one in found),
        completion_tokens=sum(one.completion_tokens for one in found),
        seconds=seconds,
        latency_p50=_latency(found, 0.5),
        latency_p95=_latency(found, 0.95),
        cost=sum(costs) if costs else None,
        priced=sum(one.priced for one in found),
        unpriced=sum(one.unpriced for one in found),
        slices=_slices(label, found) if slices else {},
        worst=_worst(found, lambda one: one.share.rate, _fails),
        divided=_divided(found),
        slowest=_because("took {:.3f} s", _worst(found, lambda one: -max(one.seconds), lambda one: bool(one.seconds))),
        lost=next((one.lost for one in found if one.lost), ""),
        dearest=_because("cost {:.6f} USD", _worst(found, lambda one: -(one.cost or 0), lambda one: bool(one.cost))),
    )


def _slices(label: str, found: Sequence[Tally]) -> dict[str, Score]:
    return {tag: score(label, part, slices=False) for tag, part in by_tag(found, lambda one: one).items()}


def _graders(found: Sequence[Tally]) -> dict[str, Measured]:
    names = dict.fromkeys(name for one in found for name in one.graders)
    return {
        # A grader of some prompts alone says nothing about the others.
        name: _measured(
            [
                Share(one.graders[name], one.share.total - one.silent.get(name, 0), one.share.weight)
                for one in found
                if name in one.graders
            ]
        )
        for name in names
    }


def _measured(shares: Sequence[Share]) -> Measured:
    return Measured(
        value=statistics.rate(shares),
        interval=statistics.interval(shares),
        n=sum(bool(share.total) for share in shares),
    )


def _passes(shares: Sequence[Share], repeats: int, *, every: bool) -> tuple[Measured, ...]:
    """pass@k (or pass^k) for k from 1 to the repeats, as far as some prompt has k answers."""
    found = (statistics.subsets(shares, k, every=every) for k in range(1, repeats + 1))
    return tuple(_measured(part) for part in found if any(share.total for share in part))


def _latency(found: Sequence[Tally], q: float) -> Measured | None:
    groups = [one.seconds for one in found if one.seconds]
    if not groups:
        return None
    value, interval = statistics.quantile(groups, q)
    return Measured(value=value, interval=interval, n=len(groups))


def _worst(found: Iterable[Tally], key: Callable[[Tally], float], wanted: Callable[[Tally], bool]) -> tuple[Worst, ...]:
    """The cases with the smallest key; a negative key stands for a value of which the largest are the worst."""
    chosen = heapq.nsmallest(WORST, (one for one in found if wanted(one)), key=key)
    return tuple(worst(one, abs(key(one))) for one in chosen)


def _fails(one: Tally) -> bool:
    """Whether it speaks against the model: one of weight 0 does not."""
    return one.share.passed < one.share.total and one.share.weight > 0


def _divided(found: Iterable[Tally]) -> tuple[Worst, ...]:
    """The cases whose repeats agree least, told by how often they passed."""
    by_id = {one.prompt.id: one.share for one in found if 0 < one.share.passed < one.share.total and one.share.weight}
    chosen = _worst(found, lambda one: abs(2 * one.share.rate - 1), lambda one: one.prompt.id in by_id)
    return tuple(
        msgspec.structs.replace(one, reason=f"passed {by_id[one.prompt].passed:g} of {by_id[one.prompt].total:g} times")
        for one in chosen
    )


def _because(words: str, found: Iterable[Worst]) -> tuple[Worst, ...]:
    """Cases that are told by their value, and not by why an answer did not pass."""
    return tuple(msgspec.structs.replace(one, reason=words.format(one.value), said="", expected="") for one in found)
