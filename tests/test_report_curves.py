"""The loss curve is drawn without Vega's engine: every mark stands where Vega puts it."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

from ftspec.diagnosis import Point
from ftspec.provider import TrainingEvent
from ftspec.report import charts, curves

NUMBER = r"([-\d.e]+)"


class Mark(NamedTuple):
    kind: str
    looks: tuple[str | None, ...]
    places: list[tuple[float, float]]


class Drawing(NamedTuple):
    size: tuple[float, float]
    left: float
    top: float
    marks: list[Mark]
    """By kind and looks, their places from where the axes begin."""


def drawing(svg: str) -> Drawing:
    root = ElementTree.fromstring(svg)
    found = list(marks(root, 0, 0))
    grid = [place for mark in found if mark.looks == ("var(--faint)",) for place in mark.places]
    left, top = min(x for x, _ in grid), min(y for _, y in grid)
    moved = [
        Mark(kind, looks, sorted((x - left, y - top) for x, y in places) if kind == "line" else
             [(x - left, y - top) for x, y in places])
        for kind, looks, places in found
    ]  # fmt: skip
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    return Drawing(
        (width, height), left, top, sorted(moved, key=lambda mark: (mark.kind, str(mark.looks), mark.places))
    )


def marks(element: ElementTree.Element, x: float, y: float) -> Iterator[Mark]:
    """What can be seen, with places in the whole drawing; a turned text is where it is turned."""
    said = element.get
    for dx, dy in re.findall(rf"translate\({NUMBER},{NUMBER}\)", said("transform", ""))[:1]:
        x, y = x + float(dx), y + float(dy)
    if element.tag == "line":
        ends = [(x + float(said("x" + end, 0)), y + float(said("y" + end, 0))) for end in "12"]
        yield Mark("line", (said("stroke"),), ends)
    elif element.tag == "text" and said("opacity") != "0":
        yield Mark("text", (element.text, said("text-anchor"), said("fill"), said("font-size")), [(x, y)])
    elif element.tag == "path" and said("fill"):
        yield Mark("dot", (said("fill"), said("d")), [(x, y)])
    elif element.tag == "path" and said("stroke"):
        points = re.findall(f"{NUMBER},{NUMBER}", element.attrib["d"])
        looks = tuple(said(name) for name in ("stroke", "stroke-width", "stroke-dasharray", "opacity"))
        yield Mark("path", looks, [(x + float(a), y + float(b)) for a, b in points])
    for child in element:
        yield from marks(child, x, y)


def lines(seed: int) -> list[curves.Line]:
    """Training and validation losses of a run, of any size, some below 0."""
    rng = random.Random(seed)
    scale = rng.choice([1e-4, 0.01, 1, 30, 5e5]) * rng.random()
    first, stride = rng.randrange(200), rng.choice([1, 1, 2, 10, 777])

    def losses(count: int, apart: int) -> list[Point]:
        values = (1 / (1 + at) + rng.random() - (rng.random() < 0.01) for at in range(count))
        return [Point(first + at * stride * apart, scale * value) for at, value in enumerate(values)]

    train, validation = losses(rng.choice([1, 2, 3, 10, 29, 100, 400]), 1), losses(rng.choice([0, 2, 5]), 7)
    found = [
        curves.Line(train, "var(--tuned)", 0.28, dots=len(train) == 1),
        curves.Line(charts.smoothed(train), "var(--tuned)"),
        curves.Line(validation, "var(--validation)", dash=(6, 3), dots=True),
    ]
    return [line for line in found if line.points]


def test_every_mark_stands_where_vega_puts_it() -> None:
    runs = [lines(seed) for seed in range(60)]
    lows = [min(0.0, *(point.loss for line in run for point in line.points)) for run in runs]
    sketched = [charts.over_steps(run, low, "words") for run, low in zip(runs, lows, strict=True)]
    sketched = [chart for chart in sketched if chart.sketch]
    assert len(sketched) > 50
    for our, vega in zip(
        map(drawing, charts.draw(sketched)),
        map(drawing, charts.draw([chart._replace(sketch=None) for chart in sketched])),
        strict=True,
    ):
        assert [mark[:2] for mark in our.marks] == [mark[:2] for mark in vega.marks]
        for mark, other in zip(our.marks, vega.marks, strict=True):
            assert len(mark.places) == len(other.places)
            for (x, y), (other_x, other_y) in zip(mark.places, other.places, strict=True):
                assert abs(x - other_x) < 0.05 and abs(y - other_y) < 0.05
        margins = zip((*our.size, our.left, our.top), (*vega.size, vega.left, vega.top), strict=True)
        assert all(abs(ours - vegas) <= 1 for ours, vegas in margins)


def test_what_spans_no_range_is_vegas() -> None:
    one = [curves.Line([Point(5, 1.0)], "var(--tuned)", dots=True)]
    assert curves.draw(one, 0.0, 400, 260) is None
    assert curves.draw([curves.Line([Point(1, 0.0), Point(2, 0.0)], "red")], 0.0, 400, 260) is None
    alone = charts.loss([TrainingEvent(id="1", at=0, step=5, metrics={"train_loss": 1.0})])
    assert alone and not alone.sketch and charts.draw([alone])[0].startswith("<svg viewBox")


def test_a_run_that_was_not_evaluated_starts_no_engine() -> None:
    script = """
import sys
from collections.abc import Iterator
from ftspec.provider import TrainingEvent
from ftspec.report import charts
events = [TrainingEvent(id=str(at), at=at, step=at, metrics={"train_loss": 1 / at}) for at in range(1, 50)]
charts.subprocess = None
assert charts.draw([charts.loss(events)])[0].startswith("<svg viewBox")
assert "vl_convert" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
