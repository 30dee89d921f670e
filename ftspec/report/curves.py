"""The chart of a training's loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ftspec.common.jobs import TrainingEvent
from ftspec.report.drawings import Chart, Json
from ftspec.tuning.diagnosis import Point, curve

POINTS = 400
"""A curve has at most so many points: more cannot be seen."""


def loss(events: Sequence[TrainingEvent]) -> Chart | None:
    """Training and validation loss over optimizer steps; None where no step reported one."""
    train, validation = (thinned(events, metric) for metric in ("train_loss", "validation_loss"))
    if not train and not validation:
        return None
    smooth = smoothed(train)
    low = min(0.0, *(point.loss for point in train + validation))
    lines = [
        _line(train, "var(--tuned)", 0.28 if smooth else 1.0, low),
        _line(smooth, "var(--tuned)", 1.0, low),
        _line(validation, "var(--validation)", 1.0, low, strokeDash=[6, 3], point={"color": "var(--validation)"}),
    ]
    return Chart({"layer": [each for each in lines if each]}, _loss_in_words(train, validation))


def _line(points: Sequence[Point], stroke: str, opacity: float, low: float, **more: Any) -> Json | None:
    if not points:
        return None
    alone = {"point": {"color": stroke}} if len(points) == 1 else {}
    return {
        "data": {"values": [{"step": point.step, "loss": point.loss} for point in points]},
        "mark": {"type": "line", "color": stroke, "opacity": opacity, "strokeWidth": 2.2, **alone, **more},
        "encoding": {
            "x": {"field": "step", "type": "quantitative", "title": "optimizer step"},
            "y": {"field": "loss", "type": "quantitative", "title": "loss", "scale": {"domainMin": low}},
        },
    }


def thinned(events: Iterable[TrainingEvent], metric: str) -> list[Point]:
    """A metric by step, thinned to POINTS; first and last stay."""
    points = [point for point in curve(events, metric) if math.isfinite(point.loss)]
    stride = math.ceil(len(points) / POINTS) or 1
    return points[::stride] + ([points[-1]] if points and (len(points) - 1) % stride else [])


def smoothed(points: Sequence[Point]) -> list[Point]:
    """The mean over about a twentieth of the curve around each point; none for a curve of under 30 points."""
    if len(points) < 30:
        return []
    reach = max(1, len(points) // 40)
    found = []
    for index, (step, _) in enumerate(points):
        half = min(reach, index, len(points) - 1 - index)  # as much on both sides, or the curve would lag
        near = [point.loss for point in points[index - half : index + half + 1]]
        found.append(Point(step, sum(near) / len(near)))
    return found


def _loss_in_words(train: Sequence[Point], validation: Sequence[Point]) -> str:
    said = [
        f"{name} loss from {points[0].loss:.3g} to {points[-1].loss:.3g}"
        for name, points in (("training", train), ("validation", validation))
        if points
    ]
    return f"{' and '.join(said)} over {max(point.step for point in [*train, *validation]):,} steps".capitalize()
