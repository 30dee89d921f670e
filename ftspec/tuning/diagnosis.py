"""What a job's loss curves say, in plain words, and which hyperparameter to change.

Three faults can be told from curves alone: the loss never came down (stalled), it went up and stayed there (diverging),
or it went on falling on the rows that are trained on while it rose on those that are not (overfitting). The thresholds
below were chosen on planted curves, healthy and faulty, with the noise of small batches (tests/curves.py); a curve
that comes down, however bumpily, is left in peace.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from ftspec.common.figures import number
from ftspec.common.jobs import TrainingEvent
from ftspec.common.records import Record
from ftspec.spec import EarlyStopping

Kind = Literal["healthy", "stalled", "diverging", "overfitting", "unknown"]

FEWEST = 8
"""Training losses below which nothing is said."""
BINS = 12
"""A curve is looked at as so many medians: a spike is no trend."""
SIGMA = 3.0
"""How many standard errors of a bin a change must have, to be one."""
STALLED = 0.05
"""A loss that has come down by less than this share of where it began has not come down."""
LEARNED = 0.1
"""A loss below which there is nothing left to learn (nats per token): flat there is no fault."""
DIVERGED = 0.25
"""A loss that has given back more than this share of what it had gained, and its noise, has turned."""
OVERFIT = 0.05
"""How far a validation loss must be above its lowest, as a share of that;"""
OVERFIT_FEW = 0.1
"""and where there are less than FEW values of it, of which one may be a bad draw."""
FEW = 4


class Diagnosis(Record):
    """What a job's curves say. `step` is where it began (0: from the start), `advice` what to change."""

    kind: Kind
    step: int = 0
    message: str = ""
    advice: str = ""

    @property
    def faulty(self) -> bool:
        """Whether something is wrong with the curve, as far as it goes."""
        return self.kind not in {"healthy", "unknown"}


class Point(NamedTuple):
    """A loss after an optimizer step."""

    step: int
    loss: float


def diagnose(events: Iterable[TrainingEvent], hyperparameters: Mapping[str, Any]) -> Diagnosis:
    """What the curves among the events say.

    Args:
        events: of one job, in any order.
        hyperparameters: of its request, defaults filled in: advice names only what the provider takes.
    """
    events = list(events)
    train, validation = curve(events, "train_loss"), curve(events, "validation_loss")
    if broken := next((point for point in train if not math.isfinite(point.loss)), None):
        return _diverging(broken.step, "the training loss is no number any more", hyperparameters)
    if len(train) < FEWEST:
        return Diagnosis(kind="unknown", message="too few losses to tell")
    bins, noise = _bins(train), _noise(train)
    return (
        _turned(bins, noise, hyperparameters)
        or _flat(bins, noise, hyperparameters)
        or _overfit(validation, bins, hyperparameters)
        or Diagnosis(kind="healthy", message="the loss came down")
    )


def curve(events: Iterable[TrainingEvent], metric: str) -> list[Point]:
    """One metric by step; of several values of a step the last one said."""
    found = {
        event.step: event.metrics[metric] for event in events if event.step is not None and metric in event.metrics
    }
    return [Point(step, found[step]) for step in sorted(found)]


def futile(losses: Sequence[Point], rule: EarlyStopping) -> bool:
    """Whether the last `patience` values are none of them `min_delta` below the best one before them."""
    since, best = 0, math.inf
    for point in losses:
        since, best = (0, point.loss) if point.loss < best - rule.min_delta else (since + 1, best)
    return since >= rule.patience


def _turned(bins: Sequence[Point], noise: float, hyperparameters: Mapping[str, Any]) -> Diagnosis | None:
    lowest = min(bins, key=lambda point: point.loss)
    first, last = bins[0].loss, bins[-1].loss
    risen = min(point.loss for point in bins[-2:]) - lowest.loss  # of the last two: one may be a spike
    if risen > max(SIGMA * noise, DIVERGED * (first - lowest.loss), STALLED * first):
        what = f"the training loss rose from {number(lowest.loss)} to {number(last)}"
        return _diverging(lowest.step, what, hyperparameters)
    return None


def _flat(bins: Sequence[Point], noise: float, hyperparameters: Mapping[str, Any]) -> Diagnosis | None:
    first, last = bins[0].loss, min(bins[-1].loss, bins[-2].loss)
    if first < LEARNED or first - last > max(STALLED * first, SIGMA * noise):
        return None
    return Diagnosis(
        kind="stalled",
        message=f"the training loss hardly moved: {number(first)} at first, {number(bins[-1].loss)} at the end",
        advice=_rate(
            hyperparameters, "raise", 5.0, "the rows may not say what is to be learned: see `ftspec data preview`"
        ),
    )


def _overfit(
    validation: Sequence[Point], bins: Sequence[Point], hyperparameters: Mapping[str, Any]
) -> Diagnosis | None:
    held = [point for point in validation if math.isfinite(point.loss)]
    if len(held) < 2:
        return None
    noise = 0.0
    if len(held) >= BINS:
        held, noise = _bins(held), _noise(held)
    best = min(held, key=lambda point: point.loss)
    share = OVERFIT_FEW if len(held) < FEW else OVERFIT
    late = [point.loss for point in held[-2:]] if len(held) >= FEW else [held[-1].loss]
    falling = bins[-1].loss < _at(bins, best.step)
    if not falling or min(late) - best.loss <= max(share * best.loss, SIGMA * noise):
        return None
    return Diagnosis(
        kind="overfitting",
        step=best.step,
        message=f"the validation loss was lowest at step {best.step} ({number(best.loss)}) and rose to "
        f"{number(held[-1].loss)}, while the training loss went on falling",
        advice=_sooner(best.step, held[-1].step, hyperparameters),
    )


def _diverging(step: int, message: str, hyperparameters: Mapping[str, Any]) -> Diagnosis:
    advice = _rate(hyperparameters, "lower", 0.2, "the learning rate is too high for this model and batch")
    return Diagnosis(kind="diverging", step=step, message=f"{message}, from step {step} on", advice=advice)


def _rate(hyperparameters: Mapping[str, Any], verb: str, factor: float, otherwise: str) -> str:
    """Advice about the learning rate, under the name that the provider has for it."""
    for name in ("learning_rate", "learning_rate_multiplier"):
        if name in hyperparameters:
            value = hyperparameters[name]
            known = isinstance(value, int | float) and not isinstance(value, bool)
            return f"{verb} `{name}`" + (f", e.g. from {value:g} to {value * factor:g}" if known else "")
    return otherwise


def _sooner(best: int, last: int, hyperparameters: Mapping[str, Any]) -> str:
    keep = (
        "keep the best checkpoint (`follow: {checkpoint: best}`) where the tuner has any, or give it more varied rows"
    )
    epochs = hyperparameters.get("epochs")
    if not isinstance(epochs, int | float) or isinstance(epochs, bool):
        return keep
    wanted = max(1, round(epochs * best / last))
    return f"lower `epochs` from {epochs:g} to {wanted}, or {keep}" if wanted < epochs else keep


def _bins(points: Sequence[Point]) -> list[Point]:
    """Medians of BINS stretches of the curve, fewer where there are few points; each at the step of its middle."""
    from statistics import median

    count = min(BINS, max(2, len(points) // 2))
    edges = [round(index * len(points) / count) for index in range(count + 1)]
    stretches = [points[start:end] for start, end in pairwise(edges)]
    return [Point(each[len(each) // 2].step, median(point.loss for point in each)) for each in stretches]


def _noise(points: Sequence[Point]) -> float:
    """The standard error of a bin: from the median of absolute differences of neighbours, which a trend hardly moves.

    For independent normal noise that median is 0.954 sigma (0.6745 x sqrt 2), and a median of n values has a standard
    error of 1.2533 sigma / sqrt n.
    """
    from statistics import median

    steps = [abs(two.loss - one.loss) for one, two in pairwise(points)]
    each = max(1.0, len(points) / min(BINS, max(2, len(points) // 2)))
    return 1.2533 * median(steps) / 0.954 / math.sqrt(each)


def _at(bins: Sequence[Point], step: int) -> float:
    return min(bins, key=lambda point: abs(point.step - step)).loss
