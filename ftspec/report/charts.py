"""The report's charts as inline SVG. Colours are CSS classes, so that light and dark are the page's affair.

Every chart is drawn 440 units wide, so that its text stays readable on a phone, and says in words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from ftspec.figures import percent
from ftspec.provider import TrainingEvent
from ftspec.records import Interval, Score
from ftspec.report.text import visible
from ftspec.statistics import ACCURATE, CONSISTENT

WIDTH = 440
POINTS = 400
"""A curve has at most so many points: more cannot be seen."""

Point = tuple[float, float]


class Plot(NamedTuple):
    """A plot area in a drawing of WIDTH × `height`, and the ranges that its axes show."""

    height: int
    x: tuple[float, float]
    y: tuple[float, float]
    left: int = 58
    right: int = 22
    top: int = 14
    bottom: int = 44

    def at(self, x: float, y: float) -> Point:
        """Where a value lies in the drawing."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        wide, high = WIDTH - self.left - self.right, self.height - self.top - self.bottom
        return self.left + across * wide, self.height - self.bottom - up * high


def text(at: Point, content: str, kind: str = "tick", anchor: str = "middle", turn: bool = False) -> str:
    turned = f' transform="rotate(-90 {at[0]:.1f} {at[1]:.1f})"' if turn else ""
    where = f'x="{at[0]:.1f}" y="{at[1]:.1f}"{turned}'
    return f'<text {where} class="{kind}" text-anchor="{anchor}">{escape(visible(content))}</text>'


def line(one: Point, two: Point, kind: str) -> str:
    return f'<line x1="{one[0]:.1f}" y1="{one[1]:.1f}" x2="{two[0]:.1f}" y2="{two[1]:.1f}" class="{kind}"/>'


def rect(low: Point, high: Point, kind: str) -> str:
    wide, tall = high[0] - low[0], low[1] - high[1]
    return f'<rect x="{low[0]:.1f}" y="{high[1]:.1f}" width="{wide:.1f}" height="{tall:.1f}" class="{kind}"/>'


def path(points: Iterable[Point], kind: str) -> str:
    return f'<path d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}" class="{kind}"/>'


def dot(at: Point, kind: str, title: str) -> str:
    said = f"<title>{escape(visible(title))}</title>"
    return f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="7" class="{kind}">{said}</circle>'


def svg(height: int, label: str, parts: Iterable[str]) -> str:
    """A whole drawing; `label` says in words what it shows."""
    words = escape(visible(label), quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{words}">{"".join(parts)}</svg>'


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) within a range."""
    raw = (high - low) / max(wanted, 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def axes(plot: Plot, across: str, up: str, *, shares: tuple[bool, bool]) -> list[str]:
    """Grid, tick labels and titles; an axis of shares is labelled in percent."""
    parts = []
    for value in ticks(*plot.y):
        parts.append(line(plot.at(plot.x[0], value), plot.at(plot.x[1], value), "grid"))
        here = plot.at(plot.x[0], value)
        parts.append(text((here[0] - 7, here[1] + 4), _tick(value, shares[1]), anchor="end"))
    for value in ticks(*plot.x):
        here = plot.at(value, plot.y[0])
        parts.append(text((here[0], here[1] + 17), _tick(value, shares[0])))
    parts.append(line(plot.at(plot.x[0], plot.y[0]), plot.at(plot.x[1], plot.y[0]), "axis"))
    middle = (plot.left + (WIDTH - plot.left - plot.right) / 2, plot.height - 6.0)
    parts.append(text(middle, across, "title"))
    if up:
        parts.append(text((12.0, plot.top + (plot.height - plot.top - plot.bottom) / 2), up, "title", turn=True))
    return parts


def _tick(value: float, share: bool) -> str:
    return f"{value * 100:.0f}%" if share else f"{value:,.10g}"


def quadrant(base: Score, tuned: Score) -> str:
    """Accuracy over consistency of both models with their intervals; accuracy alone where consistency is not known."""
    if base.consistency is None or tuned.consistency is None:
        return accuracy(base, tuned)
    lows = [score.consistency_interval.low for score in (base, tuned) if score.consistency_interval]
    plot = Plot(330, (math.floor(10 * min([0.5, *lows])) / 10, 1.0), (0.0, 1.0), top=26)
    left, right = plot.x
    one, two = plot.at(base.consistency, base.accuracy), plot.at(tuned.consistency, tuned.accuracy)
    parts = [
        rect(plot.at(CONSISTENT, ACCURATE), plot.at(right, 1), "good"),
        *axes(plot, "consistency: the same prompt gets the same verdict", "accuracy", shares=(True, True)),
        line(plot.at(left, ACCURATE), plot.at(right, ACCURATE), "threshold"),
        line(plot.at(CONSISTENT, 0), plot.at(CONSISTENT, 1), "threshold"),
        *_corners(plot),
        *_cross(plot, base, "base"),
        *_cross(plot, tuned, "tuned"),
        _arrow(one, two),
        dot(one, "dot base", _says("base", base)),
        dot(two, "dot tuned", _says("tuned", tuned)),
        *_labels(one, two),
    ]
    label = (
        f"Accuracy and consistency. {_says('base', base)}: {base.quadrant}. {_says('tuned', tuned)}: {tuned.quadrant}."
    )
    return svg(plot.height, label, parts)


def _says(name: str, score: Score) -> str:
    known = "" if score.consistency is None else f", consistency {percent(score.consistency)}"
    return f"{name}: accuracy {percent(score.accuracy)}{known}"


def _corners(plot: Plot) -> list[str]:
    """The quadrants' names; the best one, where dots should lie, has its own above it."""
    left, right = plot.at(plot.x[0], 1)[0] + 8, plot.at(1, 1)[0] - 6
    top, middle = plot.at(0, 1)[1] + 16, plot.at(0, ACCURATE)[1] + 16
    return [
        text((left, top), "right but inconsistent", "corner", "start"),
        text((left, middle), "neither", "corner", "start"),
        text((right, top - 24), "reliable and repeatable", "corner goal", "end"),
        text((right, middle), "repeatedly", "corner", "end"),
        text((right, middle + 14), "wrong", "corner", "end"),
    ]


def _cross(plot: Plot, score: Score, kind: str) -> list[str]:
    """The intervals of both axes."""
    x, y = score.consistency or 0.0, score.accuracy
    parts = [line(plot.at(x, score.interval.low), plot.at(x, score.interval.high), f"bar {kind}")]
    if score.consistency_interval:
        low, high = score.consistency_interval.low, score.consistency_interval.high
        parts.append(line(plot.at(low, y), plot.at(high, y), f"bar {kind}"))
    return parts


def _arrow(one: Point, two: Point) -> str:
    """From the base model to the tuned one, where they are far enough apart to see."""
    distance = math.dist(one, two)
    if distance < 40:
        return ""
    ux, uy = (two[0] - one[0]) / distance, (two[1] - one[1]) / distance
    start, tip = (one[0] + 11 * ux, one[1] + 11 * uy), (two[0] - 11 * ux, two[1] - 11 * uy)
    wings = [(tip[0] - 8 * ux + side * 5 * uy, tip[1] - 8 * uy - side * 5 * ux) for side in (1, -1)]
    return line(start, tip, "arrow") + path([wings[0], tip, wings[1]], "arrow")


def _labels(one: Point, two: Point) -> list[str]:
    """Names beside the dots: to the left, clear of the right edge, and apart where the dots are close."""
    near = math.dist(one, two) < 24
    return [
        text((one[0] - 12, one[1] + (20 if near else -9)), "base", "name base", "end"),
        text((two[0] - 12, two[1] + (-12 if near else 18)), "tuned", "name tuned", "end"),
    ]


def accuracy(base: Score, tuned: Score) -> str:
    """Accuracy of both models with its interval, in two rows."""
    plot = Plot(170, (0.0, 1.0), (0.0, 3.0), left=60)
    parts = [line(plot.at(value, 0), plot.at(value, 3), "grid") for value in ticks(0, 1)]
    parts += [text((plot.at(value, 0)[0], plot.at(value, 0)[1] + 17), _tick(value, True)) for value in ticks(0, 1)]
    parts.append(line(plot.at(0, 0), plot.at(1, 0), "axis"))
    parts.append(text((plot.left + (WIDTH - plot.left - plot.right) / 2, plot.height - 6.0), "accuracy", "title"))
    for score, kind, row in ((base, "base", 2.1), (tuned, "tuned", 0.9)):
        parts.append(_bar(plot, score.interval, row, kind))
        parts.append(dot(plot.at(score.accuracy, row), f"dot {kind}", _says(kind, score)))
        parts.append(text((plot.left - 12.0, plot.at(0, row)[1] + 4), kind, f"name {kind}", "end"))
    return svg(plot.height, f"Accuracy. {_says('base', base)}. {_says('tuned', tuned)}.", parts)


def _bar(plot: Plot, interval: Interval, row: float, kind: str) -> str:
    return line(plot.at(interval.low, row), plot.at(interval.high, row), f"bar {kind}")


def loss(events: Sequence[TrainingEvent]) -> str:
    """Training and validation loss over optimizer steps; "" where no step reported one."""
    train, validation = curve(events, "train_loss"), curve(events, "validation_loss")
    if not train and not validation:
        return ""
    everything = train + validation
    last, values = max(x for x, _ in everything), [y for _, y in everything]
    low, high = min(0.0, *values), max(*values, 1e-9)
    plot = Plot(330, (0.0, max(last, 1.0)), (low, high * 1.05 if high > 0 else 1.0))
    smooth = smoothed(train)
    parts = axes(plot, "optimizer step", "loss", shares=(False, False))
    parts += _curve(plot, train, "curve raw" if smooth else "curve train")
    parts += _curve(plot, smooth, "curve train")
    parts += _curve(plot, validation, "curve validation")
    parts += [dot(plot.at(x, y), "mark validation", f"step {x:g}: validation loss {y:.4g}") for x, y in validation]
    return svg(plot.height, _loss_in_words(train, validation), parts)


def curve(events: Iterable[TrainingEvent], metric: str) -> list[Point]:
    """(step, value) of a metric, in order of steps, thinned to POINTS; the last report of a step counts."""
    found = {
        event.step: event.metrics[metric] for event in events if event.step is not None and metric in event.metrics
    }
    points = [(float(step), value) for step, value in sorted(found.items()) if math.isfinite(value)]
    stride = math.ceil(len(points) / POINTS) or 1
    return points[::stride] + ([points[-1]] if points and (len(points) - 1) % stride else [])


def smoothed(points: Sequence[Point]) -> list[Point]:
    """The mean over about a twentieth of the curve around each point; none for a curve of under 30 points."""
    if len(points) < 30:
        return []
    reach = max(1, len(points) // 40)
    found = []
    for index, (x, _) in enumerate(points):
        half = min(reach, index, len(points) - 1 - index)  # as much on both sides, or the curve would lag
        near = [y for _, y in points[index - half : index + half + 1]]
        found.append((x, sum(near) / len(near)))
    return found


def _curve(plot: Plot, points: Sequence[Point], kind: str) -> list[str]:
    if len(points) == 1:
        return [dot(plot.at(*points[0]), f"mark {kind.split()[-1]}", f"{points[0][1]:.4g}")]
    return [path([plot.at(*point) for point in points], kind)] if points else []


def _loss_in_words(train: Sequence[Point], validation: Sequence[Point]) -> str:
    said = [
        f"{name} loss from {points[0][1]:.3g} to {points[-1][1]:.3g}"
        for name, points in (("training", train), ("validation", validation))
        if points
    ]
    return f"{' and '.join(said)} over {max(x for x, _ in [*train, *validation]):,.0f} steps".capitalize()
