"""Lines over two linear axes as SVG, as Vega-Lite draws them, for the chart that every run has: the loss curve.

Vega's JavaScript takes three quarters of a second to start, which is more than all the rest of a short run's report.
Ticks, a nice domain and their format are d3's (d3-array's `ticks`, d3-scale's `nice` and `tickFormat`); places, sizes
and the labels that are left out where they would touch are Vega's. The tests hold every drawing to Vega's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from ftspec.diagnosis import Point

FONT = 12
DIGIT, MARK, MINUS = 0.556, 0.278, 0.584
"""Widths of a digit, of a point or comma, and of a minus, in ems of Arial, Helvetica and what stands in for them."""
PAD, BELOW, BESIDE, REACH = 5, 37, 13, 2.74
"""Pixels around the drawing, of the lower axis, of the left one's title, and of a mark beyond its place."""
APART = 40
"""Pixels between two ticks, about."""
DOT = "M2.739,0A2.739,2.739,0,1,1,-2.739,0A2.739,2.739,0,1,1,2.739,0"
TEXT = f'font-family="system-ui, sans-serif" font-size="{FONT}px"'


class Line(NamedTuple):
    """Points in order, and how they are drawn; `dots` says whether each is marked."""

    points: Sequence[Point]
    stroke: str
    opacity: float = 1.0
    dash: tuple[int, ...] = ()
    dots: bool = False


class Axis(NamedTuple):
    """A linear axis of `length` pixels."""

    low: float
    high: float
    length: int

    def at(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low) * self.length

    def ticks(self) -> list[float]:
        return ticks(self.low, self.high, math.ceil(self.length / APART))

    def labels(self) -> list[str]:
        """The ticks' values with as many decimals as their distance needs."""
        step = increment(self.low, self.high, math.ceil(self.length / APART))
        decimals = max(0, -math.floor(math.log10(step if step > 0 else -1 / step) + 1e-9))
        return [f"{tick:,.{decimals}f}".replace("-", "−") for tick in self.ticks()]


class Drawing(NamedTuple):
    """SVG elements, and how wide and high what they draw is, in pixels."""

    marks: str
    width: float
    height: float


def draw(lines: Sequence[Line], low: float, width: int, height: int) -> Drawing | None:
    """The lines over optimizer steps, or None for what spans no range: a single step, nothing but zeros.

    Args:
        low: where the vertical axis begins; it ends at the highest value.
        width, height: of the part within the axes, in pixels.
    """
    points = [point for line in lines for point in line.points]
    steps = [point.step for point in points]
    high = max(point.loss for point in points)
    if min(steps) == max(steps) or not low < high:
        return None
    across, up = Axis(*nice(min(steps), max(steps)), width), Axis(low, high, height)
    labels = up.labels()
    aside = 15 + max(map(_wide, labels))
    left = PAD + math.ceil(aside + BESIDE)
    top = PAD + math.ceil(max(REACH, *(up.at(tick) + 5.5 - height for tick in up.ticks())))
    right = PAD + math.ceil(max(0.5, across.at(max(steps)) + REACH - width))
    parts = [*_grid(across, up), *_across(across, up), *_up(across, up, aside)]
    parts += [part for line in lines for part in _line(line, across, up)]
    inside = f'<g fill="none" stroke-miterlimit="10" transform="translate({left},{top})">{"".join(parts)}</g>'
    return Drawing(inside, left + width + right, top + height + BELOW + PAD)


# ---- scales


def increment(start: float, stop: float, count: int) -> float:
    """The distance of about `count` ticks: 1, 2 or 5 times a power of ten; minus its inverse where it is below 1."""
    step = (stop - start) / count
    power = math.floor(math.log10(step))
    error = step / 10.0**power
    factor = 10 if error >= math.sqrt(50) else 5 if error >= math.sqrt(10) else 2 if error >= math.sqrt(2) else 1
    return -(10.0**-power) / factor if power < 0 else 10.0**power * factor


def ticks(start: float, stop: float, count: int) -> list[float]:
    """The multiples of `increment` from start to stop."""
    step = increment(start, stop, count)

    def tick(number: int) -> float:
        return number * step if step > 0 else number / -step

    first, last = (_round(end / step if step > 0 else end * -step) for end in (start, stop))
    numbers = range(first + (tick(first) < start), last + 1 - (tick(last) > stop))
    return [tick(number) for number in numbers]


def nice(start: float, stop: float) -> tuple[float, float]:
    """The range widened to ticks at both ends."""
    before = 0.0
    for _ in range(10):
        step = increment(start, stop, 10)
        if step == before:
            break
        if step > 0:
            start, stop = math.floor(start / step) * step, math.ceil(stop / step) * step
        else:
            start, stop = math.floor(start * -step) / -step, math.ceil(stop * -step) / -step
        before = step
    return start, stop


# ---- what is drawn


def _grid(across: Axis, up: Axis) -> Iterator[str]:
    for x in _columns(across):
        yield _rule(x + 0.5, 0.5, x + 0.5, up.length + 0.5, "--faint")
    for y in _rows(up):
        yield _rule(0.5, y + 0.5, across.length + 0.5, y + 0.5, "--faint")


def _across(across: Axis, up: Axis) -> Iterator[str]:
    """The lower axis: ticks, labels, line and title."""
    base = up.length + 0.5
    for x in _columns(across):
        yield _rule(x + 0.5, base, x + 0.5, base + 5, "--soft")
    for label in _clear(across):
        place = f"translate({_number(label.x + 0.5)},{_number(base + 16)})"
        yield _text(label.text, place, label.anchor, "--soft")
    yield _rule(0.5, base, across.length + 0.5, base, "--soft")
    yield _text("optimizer step", f"translate({across.length / 2 + 0.5},{_number(base + 35)})", "middle", "--ink")


def _up(across: Axis, up: Axis, aside: float) -> Iterator[str]:
    """The left axis, which is `aside` pixels wide without its title."""
    for y in _rows(up):
        yield _rule(0.5, y + 0.5, -4.5, y + 0.5, "--soft")
    for label, tick in zip(up.labels(), up.ticks(), strict=True):
        place = f"translate(-6.5,{_number(up.length - up.at(tick) + 4.5)})"
        yield _text(label, place, "end", "--soft")
    yield _rule(0.5, up.length + 0.5, 0.5, 0.5, "--soft")
    place = f"translate({_number(0.5 - aside)},{up.length / 2 + 0.5}) rotate(-90) translate(0,-3)"
    yield _text("loss", place, "middle", "--ink")


class _Label(NamedTuple):
    text: str
    x: float
    anchor: str

    @property
    def begin(self) -> float:
        return self.x - _wide(self.text) * {"start": 0, "middle": 0.5, "end": 1}[self.anchor]

    def touches(self, following: _Label) -> bool:
        return following.begin < self.begin + _wide(self.text)


def _clear(axis: Axis) -> list[_Label]:
    """The lower axis's labels: every second one, or every fourth, where they would touch."""
    found = []
    for text, tick in zip(axis.labels(), axis.ticks(), strict=True):
        x = axis.at(tick)
        found.append(_Label(text, x, "start" if x <= 1 else "end" if axis.length - x <= 1 else "middle"))
    shown = found
    while len(shown) > 2 and any(left.touches(right) for left, right in pairwise(shown)):
        shown = shown[::2]
    return shown if len(shown) > 2 or shown[-1] is found[-1] else [shown[0], found[-1]]


def _line(line: Line, across: Axis, up: Axis) -> Iterator[str]:
    places = [(_number(across.at(step)), _number(up.length - up.at(loss))) for step, loss in line.points]
    path = "L".join(f"{x},{y}" for x, y in places)
    dash = f' stroke-dasharray="{",".join(map(str, line.dash))}"' if line.dash else ""
    yield f'<path d="M{path}" stroke="{line.stroke}" stroke-width="2.2"{dash} opacity="{line.opacity:g}"/>'
    for x, y in places if line.dots else ():
        yield f'<path transform="translate({x},{y})" d="{DOT}" fill="{line.stroke}"/>'


def _columns(across: Axis) -> list[int]:
    """Places of the ticks, on whole pixels, so that their lines are sharp."""
    return [_round(across.at(tick)) for tick in across.ticks()]


def _rows(up: Axis) -> list[int]:
    return [_round(up.length - up.at(tick)) for tick in up.ticks()]


def _round(value: float) -> int:
    """As JavaScript does, halves upwards."""
    return math.floor(value + 0.5)


def _rule(x: float, y: float, x2: float, y2: float, colour: str) -> str:
    ends = f'x1="{_number(x)}" y1="{_number(y)}" x2="{_number(x2)}" y2="{_number(y2)}"'
    return f'<line {ends} stroke="var({colour})"/>'


def _text(text: str, place: str, anchor: str, colour: str) -> str:
    return f'<text text-anchor="{anchor}" transform="{place}" {TEXT} fill="var({colour})">{text}</text>'


def _wide(text: str) -> float:
    """About how many pixels a number takes."""
    return FONT * sum(DIGIT if each.isdigit() else MINUS if each == "−" else MARK for each in text)


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
