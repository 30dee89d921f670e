"""report.html: one self-contained page. Nothing is loaded, and only the page's own script may run (CSP by its hash).

Every value that reaches the template is text: `finalize` makes hidden characters visible and autoescape does the rest.
Only the charts, the style sheet and the script are markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec.common.evaluation import Score
from ftspec.common.figures import duration, moment, money, partly, percent, plural, points, size
from ftspec.report import charts, curves, drawings, text, words
from ftspec.report.data import Case, ReportData
from ftspec.report.differences import differences
from ftspec.report.junit import where

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
WORST = 400
"""So many cases at the most that the tuned model fails or does worse on,"""
SAMPLE = 100
"""so many of the others,"""
BUDGET = 4_000_000
"""and no more when their texts have so many characters together."""
LONG = 4000
"""Characters of one text that are shown."""


def render(data: ReportData) -> str:
    """The page."""
    from markupsafe import Markup

    drawn = _charts(data)  # first: the less is held here while the engine draws, the better
    script, style = (Markup((HERE / name).read_text(encoding="utf-8")) for name in ("page.js", "page.css"))  # noqa: S704
    return (
        _environment(charts.colours(_scores(data)))
        .get_template("page.html.j2")
        .render(
            data=data,
            verdict=words.verdict(data),
            sentence=words.sentence(data),
            tiles=tiles(data),
            shown=chosen(data.cases),
            charts=drawn,
            tags=_tags(data),
            metrics=sorted({name for score in _scores(data).values() for name in score.metrics}),
            validated=any("validation_loss" in event.metrics for event in data.training),
            facts=words.facts(data),
            style=style,
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _environment(colours: dict[str, str]) -> Environment:
    """`colours` are those of the models, by label."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from ftspec.report.compiled import Compiled

    def seen(value: Any) -> Any:
        return value if isinstance(value, Markup) else text.visible(str(value))

    environment = Environment(
        loader=FileSystemLoader(HERE),
        bytecode_cache=Compiled(Path(__file__)),
        auto_reload=False,
        autoescape=True,
        finalize=seen,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for each in (duration, moment, percent, plural, points, size, text.value, text.content, text.row):
        environment.filters[each.__name__] = each
    environment.filters |= {"long": lambda given: text.shortened(given, LONG), "short": text.shortened, "where": where}
    environment.filters |= {
        "when": words.when,
        "said": words.said,
        "excerpt": words.excerpt,
        "agreement": words.agreement,
    }
    environment.filters |= {
        "differences": differences,
        "p_value": p_value,
        "colour": lambda label: colours.get(label, "var(--ink)"),
    }
    environment.filters["money"] = money
    environment.filters["partly"] = partly
    return environment


def _charts(data: ReportData) -> dict[str, Any]:
    from markupsafe import Markup

    scores = _scores(data)
    wanted = {
        "quadrant": charts.quadrant(scores) if scores else None,
        "slices": charts.slices(scores),
        "loss": curves.loss(data.training),
    }
    drawn = iter(drawings.draw([chart for chart in wanted.values() if chart]))
    # Drawn by Vega, which escapes every text in it.
    return {name: Markup(next(drawn) if chart else "") for name, chart in wanted.items()}  # noqa: S704


def _scores(data: ReportData) -> dict[str, Score]:
    return data.evaluation.scores if data.evaluation else {}


def _tags(data: ReportData) -> list[str]:
    """The tags by which there are results."""
    return sorted({tag for score in _scores(data).values() for tag in score.slices})


def p_value(value: float | None) -> str:
    """A p-value: never shown as 0."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


class Tile(NamedTuple):
    """A headline figure; `kind` colours it."""

    label: str
    figure: str
    note: str = ""
    kind: str = ""


def tiles(data: ReportData) -> list[Tile]:
    """The figures that come first."""
    found = _evaluation_tiles(data)
    if (took := words.trained(data)) is not None:
        found.append(Tile("Training", duration(took), plural(data.size.rows, "row") if data.size else ""))
    if data.cost is not None and data.estimate:
        found.append(Tile("Cost", f"{data.cost:,.2f} {data.estimate.currency}"))
    return found


def _evaluation_tiles(data: ReportData) -> list[Tile]:
    if data.evaluation is None:
        return []
    if not data.evaluation.tuned.prompts:
        return [_accuracy_tile(label, score) for label, score in list(data.evaluation.scores.items())[:4]]
    base, tuned, gained = data.evaluation.base, data.evaluation.tuned, data.evaluation.gain_interval
    interval = f"95% interval {percent(tuned.interval.low)} to {percent(tuned.interval.high)}"
    gain_note = f"95% interval {points(gained.low)} to {points(gained.high)}"
    known = tuned.consistency is not None
    return [
        Tile(label="Accuracy, tuned", figure=percent(tuned.known), note=interval, kind="tuned"),
        Tile(label="Gain over base", figure=points(data.evaluation.gain), note=gain_note, kind="tuned"),
        Tile(
            label="Consistency, tuned",
            figure=percent(tuned.consistency),
            note=tuned.quadrant if known else "not measured: one answer per prompt",
            kind="tuned" if known else "",
        ),
        Tile(
            label="Accuracy, base",
            figure=percent(base.known),
            note=f"{plural(base.prompts, 'prompt')}, asked {_times(base.repeats)}",
            kind="base",
        ),
    ]


def _accuracy_tile(label: str, score: Score) -> Tile:
    interval = f"95% interval {percent(score.interval.low)} to {percent(score.interval.high)}"
    return Tile(label=f"Accuracy, {label}", figure=percent(score.known), note=interval, kind=label)


def _times(repeats: int) -> str:
    return "once" if repeats == 1 else f"{repeats} times"


def chosen(cases: Sequence[Case]) -> list[tuple[int, Case]]:
    """The cases to show with their number, in order: the worst up to a bound, an even sample of the others."""
    numbered = list(enumerate(cases, 1))
    worst = [pair for pair in numbered if pair[1].failed or pair[1].outcome == "regressed"]
    worst.sort(key=lambda pair: pair[1].change)
    others = [pair for pair in numbered if not (pair[1].failed or pair[1].outcome == "regressed")]
    stride = -(-len(others) // SAMPLE) or 1
    kept, room = [], BUDGET
    for pair in worst[:WORST] + others[::stride]:
        room -= _length(pair[1])
        if room < 0:
            break
        kept.append(pair)
    return sorted(kept, key=lambda pair: pair[0])


def _length(case: Case) -> int:
    """Characters of a case as they are shown."""
    texts = [text.content(message.content) for message in case.messages] + [case.expected or ""]
    for answer in chain.from_iterable(case.sides.values()):
        texts += [words.said(answer), *(grade.reason for grade in answer.grades.values())]
    return sum(min(len(one), LONG) for one in texts) + 1500
