"""The charts of models: where each stands between right and wrong, repeatable or not, and on which slices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from ftspec.common.evaluation import Quadrant, Score
from ftspec.common.figures import percent
from ftspec.report.drawings import Chart, Json
from ftspec.report.text import shortened, visible
from ftspec.stats.statistics import ACCURATE, CONSISTENT

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
        if tag in score.slices and score.slices[tag].known is not None
    ]
    if not rows:
        return None
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
    """What a quadrant is called, at its outer side, along the line between right and wrong: a tuned model's dot with
    its name is mostly at the top, and a base model's at the bottom."""
    right, top = place
    mark = {"type": "text", "text": name, "fontSize": 11, "color": "var(--soft)", "opacity": 0.85}
    put: Json = {"align": "right" if right else "left", "dx": -4 if right else 4, "dy": -8 if top else 10}
    at = {"x": _at(across, across["scale"]["domain"][right]), "y": _at(up, ACCURATE)}
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
    return f"{label}: accuracy {percent(score.known)}{consistent}"
