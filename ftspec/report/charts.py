"""The report's charts: Vega-Lite specifications, drawn to SVG by vl-convert when the report is written.

Colours are the page's own CSS variables, so that light and dark are its affair, and every drawing says in words what it
shows. Nothing is loaded: the data stand in the specification, and the page holds the finished drawing.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ftspec import memory
from ftspec.diagnosis import Point, curve
from ftspec.errors import FtspecError
from ftspec.evaluation import Quadrant, Score
from ftspec.figures import percent
from ftspec.jobs import TrainingEvent
from ftspec.report.text import shortened, visible
from ftspec.statistics import ACCURATE, CONSISTENT

ENGINE = "vl_convert"
WIDTH, HEIGHT = 400, 260
POINTS = 400
"""A curve has at most so many points: more cannot be seen."""
LOW = 0.08
"""A dot of the quadrant that lies so low has its name above it."""
NEAR = {"x": 0.1, "y": 0.06}
"""Names of dots that are nearer than this, both ways, would lie on each other."""
NAMES = 3
"""So many of them are named there."""
SLICES = 24
"""Slices that are drawn at the most: the table holds all."""
COLOURS = {"base": "var(--base)", "tuned": "var(--tuned)"}
FURTHER = ("var(--third)", "var(--fourth)", "var(--fifth)", "var(--sixth)", "var(--validation)", "var(--done)")
"""Of the third model and so on, in turn: none that says pass or fail."""
CORNERS: dict[Quadrant, tuple[int, int]] = {
    "reliable and repeatable": (1, 1),
    "right but inconsistent": (0, 1),
    "repeatedly wrong": (1, 0),
    "neither": (0, 0),
}
"""The quadrants, and whether each is on the right and at the top."""
SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"[^>]*>')

Json = dict[str, Any]

CONFIG: Json = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelLimit": 130,
        "domainColor": "var(--soft)",
        "gridColor": "var(--faint)",
        "labelColor": "var(--soft)",
        "labelFontSize": 12,
        "tickColor": "var(--soft)",
        "titleColor": "var(--ink)",
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    "legend": {"labelColor": "var(--ink)", "labelFontSize": 12, "orient": "bottom", "title": None},
}


class Chart(NamedTuple):
    """A specification, and what it shows in words, for those who listen."""

    specification: Json
    words: str


def draw(charts: Sequence[Chart]) -> list[str]:
    """Each as inline SVG that is as wide as its place.

    They are drawn by another process (see `drawer`), so that the engine's memory does not stay with the run; where this
    one has loaded it already, by this one. Raises FtspecError where that cannot be done.
    """
    if not charts:
        return []
    asked = [{"width": WIDTH, "height": HEIGHT, "config": CONFIG, **chart.specification} for chart in charts]
    drawn = _here(asked) if ENGINE in sys.modules else _elsewhere(asked)
    return [_placed(svg, chart.words) for svg, chart in zip(drawn, charts, strict=True)]


def _here(asked: Sequence[Json]) -> list[str]:
    import vl_convert

    try:
        return [vl_convert.vegalite_to_svg(one, allowed_base_urls=[]) for one in asked]
    except ValueError as error:
        raise _undrawn(str(error)) from error


def _elsewhere(asked: Sequence[Json]) -> list[str]:
    memory.give_back()
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("drawer.py"))]
    given = json.dumps({"path": [each for each in sys.path if isinstance(each, str)], "charts": asked}).encode()
    try:
        done = subprocess.run(command, input=given, capture_output=True, start_new_session=True)
    except (OSError, TypeError) as error:  # no interpreter, no memory for another process
        raise _undrawn(str(error)) from error
    if done.returncode:
        raise _undrawn(done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}")
    return msgspec.json.decode(done.stdout, type=list[str])


def _undrawn(said: str) -> FtspecError:
    last = said.rpartition("\n")[2]
    return FtspecError(f"the report's charts cannot be drawn: {last}", "what was answered is kept: run again")


def _placed(svg: str, words: str) -> str:
    found = SIZE.search(svg)
    assert found, "vl-convert makes an <svg> with its size"
    box = f'viewBox="0 0 {found[1]} {found[2]}" role="img" aria-label="{escape(visible(words), quote=True)}"'
    return f"<svg {box}>{svg[found.end() :]}"


# ---- models


def quadrant(scores: Mapping[str, Score]) -> Chart:
    """Accuracy over consistency of each model with its intervals; accuracy alone where consistency is not known."""
    known = {label: score for label, score in scores.items() if score.consistency is not None}
    if len(known) < len(scores):
        return accuracy(scores)
    own = colours(scores)
    rows = [_model(label, score, own[label]) for label, score in scores.items()]
    left = math.floor(10 * min(0.5, *(row["x_low"] for row in rows))) / 10
    across = _axis("x", "consistency: the same prompt gets the same verdict", [left, 1.0])
    up = _axis("y", "accuracy", [0.0, 1.0])
    specification = {
        "layer": [
            _goal(across, up),
            _rule({"y": _at(up, ACCURATE)}),
            _rule({"x": _at(across, CONSISTENT)}),
            *(_corner(name, place, across, up) for name, place in CORNERS.items()),
            _spread(rows, {"x": {**across, "field": "x_low"}, "x2": {"field": "x_high"}, "y": up}),
            _spread(rows, {"x": across, "y": {**up, "field": "y_low"}, "y2": {"field": "y_high"}}),
            _dots(rows, {"x": across, "y": up}),
            *_names(rows, {"x": across, "y": up}),
        ]
    }
    said = ". ".join(f"{_says(label, score)}: {score.quadrant}" for label, score in scores.items())
    return Chart(specification, f"Accuracy and consistency. {said}.")


def accuracy(scores: Mapping[str, Score]) -> Chart:
    """Accuracy of each model with its interval, one a line."""
    own = colours(scores)
    rows = [_model(label, score, own[label]) for label, score in scores.items()]
    across = {**_axis("y", "accuracy", [0.0, 1.0]), "axis": {"format": ".0%"}}
    up = {"field": "model", "type": "nominal", "axis": {"title": None}, "sort": list(scores)}
    specification = {
        "height": {"step": 44},
        "layer": [
            _rule({"x": {"datum": ACCURATE}}),
            _spread(rows, {"x": {**across, "field": "y_low"}, "x2": {"field": "y_high"}, "y": up}),
            _dots(rows, {"x": across, "y": up}),
        ],
    }
    return Chart(specification, "Accuracy. " + ". ".join(_says(*each) for each in scores.items()) + ".")


def slices(scores: Mapping[str, Score]) -> Chart | None:
    """Accuracy of each model by the prompts' tags, with intervals; None where no prompt has one."""
    tags = sorted({tag for score in scores.values() for tag in score.slices})[:SLICES]
    if not tags:
        return None
    own = colours(scores)
    rows = [
        {**_model(label, score.slices[tag], own[label]), "tag": _name(tag)}
        for label, score in scores.items()
        for tag in tags
        if tag in score.slices
    ]
    across = {**_axis("y", "accuracy", [0.0, 1.0]), "axis": {"format": ".0%"}}
    up = {"field": "tag", "type": "nominal", "axis": {"title": None}}
    high = {"x2": {"field": "y_high"}}
    apart = {"yOffset": {"field": "model", "type": "nominal", "sort": list(scores)}}
    specification = {
        "height": {"step": 20, "for": "offset"},
        "layer": [
            _spread(rows, {"x": {**across, "field": "y_low"}, **high, "y": up, **apart}, legend=True),
            _dots(rows, {"x": across, "y": up, **apart}),
        ],
    }
    return Chart(specification, f"Accuracy by slice: {', '.join(tags)}. The table says the same in figures.")


def _model(label: str, score: Score, colour: str) -> Json:
    spread = score.consistency_interval
    return {
        "model": _name(label),
        "colour": colour,
        "x": score.consistency,
        "y": score.accuracy,
        "x_low": spread.low if spread else score.consistency,
        "x_high": spread.high if spread else score.consistency,
        "y_low": score.interval.low,
        "y_high": score.interval.high,
    }


def colours(labels: Iterable[str]) -> dict[str, str]:
    """The CSS colour of each model: base and tuned have their own, any other the next one."""
    further = [label for label in labels if label not in COLOURS]
    return COLOURS | {label: FURTHER[place % len(FURTHER)] for place, label in enumerate(further)}


def _axis(field: str, title: str, domain: Sequence[float]) -> Json:
    scale = {"domain": list(domain), "nice": False, "clamp": True}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": {"format": ".0%"}}


def _goal(across: Json, up: Json) -> Json:
    """The corner where a model should be."""
    place = {"x": _at(across, CONSISTENT), "x2": {"datum": 1}, "y": _at(up, ACCURATE), "y2": {"datum": 1}}
    return {"data": {"values": [{}]}, "mark": {"type": "rect", "color": "var(--pass-soft)"}, "encoding": place}


def _corner(name: Quadrant, place: tuple[int, int], across: Json, up: Json) -> Json:
    """What a quadrant is called, in its outer corner."""
    right, top = place
    mark = {"type": "text", "text": name, "fontSize": 11, "color": "var(--soft)", "opacity": 0.85}
    put: Json = {"align": "right" if right else "left", "dx": -4 if right else 4, "dy": 10 if top else -8}
    at = {"x": _at(across, across["scale"]["domain"][right]), "y": _at(up, top)}
    return {"data": {"values": [{}]}, "mark": {**mark, **put}, "encoding": at}


def _at(axis: Json, value: float) -> Json:
    """A place on an axis that is no row's."""
    return {name: entry for name, entry in axis.items() if name != "field"} | {"datum": value}


def _rule(place: Json) -> Json:
    mark = {"type": "rule", "color": "var(--soft)", "strokeDash": [4, 4], "opacity": 0.7}
    return {"data": {"values": [{}]}, "mark": mark, "encoding": place}


def _spread(rows: Sequence[Json], place: Json, *, legend: bool = False) -> Json:
    mark = {"type": "rule", "strokeWidth": 2.5, "strokeCap": "round", "opacity": 0.55}
    return {"data": {"values": list(rows)}, "mark": mark, "encoding": {**place, "color": _coloured(rows, legend)}}


def _dots(rows: Sequence[Json], place: Json) -> Json:
    coloured = {"color": _coloured(rows, False)}
    mark = {"type": "circle", "size": 110, "opacity": 1}
    return {"data": {"values": list(rows)}, "mark": mark, "encoding": {**place, **coloured}}


def _names(rows: Sequence[Json], place: Json) -> list[Json]:
    """Each model's name beside its dot, towards the middle of the drawing; above it where the axis would be below."""
    middle = (place["x"]["scale"]["domain"][0] + 1) / 2
    corners: dict[tuple[bool, bool], list[Json]] = {}
    for row in _together(rows):
        corners.setdefault((row["x"] <= middle, row["y"] < LOW), []).append(row)
    return [
        {
            "data": {"values": found},
            "mark": {
                "type": "text",
                "align": "left" if left else "right",
                "dx": 9 if left else -9,
                "dy": -21 if low else 15,
                "fontWeight": "bold",
            },
            "encoding": {**place, "color": _coloured(rows, False), "text": {"field": "names"}},
        }
        for (left, low), found in corners.items()
    ]


def _together(rows: Sequence[Json]) -> list[Json]:
    """One row for models whose names would lie on each other, with the names of all of them."""
    groups: list[list[Json]] = []
    for row in rows:
        near = (one for one in groups if all(abs(one[0][axis] - row[axis]) < reach for axis, reach in NEAR.items()))
        found = next(near, [])
        if not found:
            groups.append(found)
        found.append(row)
    return [found[0] | {"names": _some([row["model"] for row in found])} for found in groups]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return f"{', '.join(names[:NAMES])}{more}"


def _coloured(rows: Sequence[Json], legend: bool) -> Json:
    found = {row["model"]: row["colour"] for row in rows}
    scale = {"domain": list(found), "range": list(found.values())}
    return {"field": "model", "type": "nominal", "scale": scale, "legend": {} if legend else None}


def _name(label: str) -> str:
    return shortened(visible(label), 40)


def _says(label: str, score: Score) -> str:
    consistent = f", consistency {percent(score.consistency)}" if score.consistency is not None else ""
    return f"{label}: accuracy {percent(score.accuracy)}{consistent}"


# ---- training


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
