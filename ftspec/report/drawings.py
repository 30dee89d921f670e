"""Charts drawn to SVG: Vega-Lite specifications, by vl-convert, when the report is written.

Colours are the page's own CSS variables, so that light and dark are its affair, and every drawing says in words what it
shows. Nothing is loaded: the data stand in the specification, and the page holds the finished drawing.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ftspec.common.errors import FtspecError
from ftspec.common.references import without_secrets
from ftspec.files import memory
from ftspec.report.text import visible

ENGINE = "vl_convert"
WIDTH, HEIGHT = 400, 260
NAMELESS = re.compile(r' role="graphics-symbol" aria-roledescription="[a-z ]+ mark container"')
"""What the engine calls an image, and gives no name."""
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
        done = subprocess.run(command, input=given, capture_output=True, env=without_secrets(), start_new_session=True)
    except (OSError, TypeError) as error:  # no interpreter, no memory for another process
        raise _undrawn(str(error)) from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise _undrawn(f"the process that draws them was ended by {name}, as where there is no memory left")
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
    return f"<svg {box}>{NAMELESS.sub('', svg[found.end() :])}"
