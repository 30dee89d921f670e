"""What `ftspec data` shows, as text: the waterfall, samples, a row's life, what differs between two states."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ftspec.cli.planviews import data_facts, finding_line
from ftspec.common.figures import plural, size
from ftspec.common.records import StepCount
from ftspec.common.terminal import one_line, safe, style, table
from ftspec.report.differences import differences
from ftspec.views.comparison import Changed, Difference, Shown
from ftspec.views.exporting import Exported
from ftspec.views.lives import RowLife, Seen

if TYPE_CHECKING:
    from ftspec.common.messages import Example, Message
    from ftspec.contracts.abilities import Token
    from ftspec.data.ledger import Life
    from ftspec.plans.dataresult import DataResult
    from ftspec.views.rendering import Rendered

WIDTH = 400
"""Characters of a text that are shown."""


def steps(counts: Sequence[StepCount]) -> str:
    """A table of what each step did to the rows."""
    lines = [
        (
            count.name,
            f"{count.rows_in:,}",
            f"{count.rows_out:,}",
            *_share(count.rows_in - count.rows_out, count.rows_in),
            *_share(count.changed, count.rows_in),
            ", ".join(f"{reason}: {number:,}" for reason, number in count.reasons.items()),
        )
        for count in counts
    ]
    headers = ("STEP", "IN", "OUT", "DROPPED", "", "CHANGED", "", "WHY")
    return table(lines, headers, right=(1, 2, 3, 4, 5, 6))


def _share(part: int, whole: int) -> tuple[str, str]:
    return (f"{part:,}", f"{part / whole:.1%}") if part and whole else ("", "")


def sampled(counts: Sequence[StepCount]) -> Iterator[str]:
    """A few rows of each step, with what changed in them."""
    for count in counts:
        if count.samples:
            yield ""
            yield style(count.name, "bold")
        for sample in count.samples:
            yield f"  {safe(str(sample['origin']))}  {one_line(str(sample['reason']), 80)}"
            yield from _change(sample["before"], sample["after"])


def _change(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[str]:
    """What differs, column by column; a row that went is shown as it was."""
    if before is None and after is None:
        yield style("      not shown: a step removes what may stand in it", "dim")
    elif after is None or before is None:
        mark = "-" if after is None else "+"
        for name, text in _columns(before if before is not None else after):
            yield f"    {mark} {one_line(name, 40)}: {_plain(text)}"
    else:
        olds, news = dict(_columns(before)), dict(_columns(after))
        for name in [*olds, *(name for name in news if name not in olds)]:
            if olds.get(name) != news.get(name):
                yield from _words(name, olds.get(name), news.get(name))


def _words(name: str, old: str | None, new: str | None) -> Iterator[str]:
    """A text before and after; words that only one of them has are marked."""
    for mark, colour, given, other in (("-", "red", old, new), ("+", "green", new, old)):
        if given is not None:
            pieces = differences(given, other or "")
            text = "".join(
                style(_plain(piece.words), colour) if piece.differs else _plain(piece.words) for piece in pieces
            )
            yield f"    {style(mark, colour)} {one_line(name, 40)}: {text}"


def _plain(text: str) -> str:
    return safe(text[:WIDTH] + ("…" if len(text) > WIDTH else "")).replace("\n", "⏎")


def _columns(row: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """(name, text) of each column; messages one by one, under their roles."""
    for name, value in (row or {}).items():
        if isinstance(value, list) and value and all(isinstance(each, Mapping) and "role" in each for each in value):
            for number, message in enumerate(value, 1):
                said = message.get("content") or message.get("tool_calls") or ""
                prefix = "" if name == "messages" else f"{name} "
                yield f"{prefix}{number} {message['role']}", said if isinstance(said, str) else _json(said)
        else:
            yield name, value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def lives(found: Sequence[RowLife]) -> str:
    """Each row of a line: what became of it, and step by step."""
    return "\n\n".join("\n".join(_life(each)) for each in found)


def gone(life: Life) -> str:
    """A row that was dropped, in a line: where it is, by which step, and why."""
    return f"{style(safe(life.origin), 'bold')}: {one_line(_end(life), 300)}"


def _end(life: Life) -> str:
    because = f" because of {safe(life.because)}" if life.because else ""
    return f"dropped by {life.step}: {life.reason}{because}" if life.step else f"kept, in {life.side or 'no side'}"


def _life(found: RowLife) -> Iterator[str]:
    life = found.life
    yield f"{style(safe(life.origin), 'bold')} (row {life.row}): {one_line(_end(life), 300)}"
    for seen in found.steps:
        yield f"  {one_line(seen.step, 40):<16} {_what(seen)}"
        if seen.withheld or seen.before is not None or seen.after is not None:
            yield from _change(seen.before, seen.after)
    for finding in found.findings:
        hint = f"; {finding.hint}" if finding.hint else ""
        yield f"  {style(finding.severity, 'yellow' if finding.severity == 'warning' else 'red')}: " + one_line(
            finding.said + hint, 300
        )


def _what(seen: Seen) -> str:
    because = f" because of {seen.because}" if seen.because else ""
    reason = f": {one_line(seen.reason, 120)}{because}" if seen.reason else ""
    colour = {"read": "dim", "same": "dim", "changed": "yellow", "dropped": "red"}[seen.what]
    return f"{style(seen.what, colour)}{reason}"


def difference(found: Difference) -> str:
    """What differs between two states of the data: counts, then a few rows of each kind."""
    facts = [
        ("before", f"{found.rows_before:,} rows, {safe(found.before)}"),
        ("after", f"{found.rows_after:,} rows, {safe(found.after)}"),
        ("same", f"{found.same:,}" + (f", {found.moved:,} of them on another side" if found.moved else "")),
        ("added", f"{found.added:,}"),
        ("removed", f"{found.removed:,}"),
        ("changed", f"{found.changed:,}"),
    ]
    lines = [f"  {name:<10} {text}" for name, text in facts]
    return "\n".join(
        [
            *lines,
            *_rows("added", found.samples_added),
            *_more(found.added, found.samples_added),
            *_rows("removed", found.samples_removed),
            *_more(found.removed, found.samples_removed),
            *_changes(found.samples_changed),
            *_more(found.changed, found.samples_changed),
        ]
    )


def _more(count: int, shown: Sequence[Shown | Changed]) -> Iterator[str]:
    if count > len(shown):
        yield style(f"and {count - len(shown):,} more", "dim")


def _rows(title: str, shown: Sequence[Shown]) -> Iterator[str]:
    for one in shown:
        yield f"{title} {style(safe(one.origin), 'bold')} ({one.side})"
        yield from _change(one.row, None) if title == "removed" else _change(None, one.row)


def _changes(shown: Sequence[Changed]) -> Iterator[str]:
    for one in shown:
        yield f"changed {style(safe(one.origin), 'bold')}"
        yield from _change(one.before, one.after)


def exported(found: Sequence[Exported]) -> str:
    """The files that were written."""
    lines = []
    for one in found:
        tokens = f", {one.tokens:,} tokens" if one.tokens is not None else ""
        lines.append(f"{one.file}: {plural(one.rows, 'row')}, {size(one.bytes)}{tokens}")
    return "\n".join(lines)


def waterfall(data: DataResult, *, samples: bool = False) -> str:
    """What each step did to the rows, why, and where the rest went; with a few rows of each step where wanted."""
    shown = sampled(data.counts) if samples else ()
    findings = (finding_line(finding) for finding in data.findings)
    return "\n".join([steps(data.counts), "", *data_facts(data), *findings, *shown])


def tokens(found: Rendered) -> str:
    """A row's tokens as running text; what is trained on is coloured, and between brackets where there is no colour."""
    head = f"{safe(found.origin)} ({found.side})"
    if found.tokens is None:
        return "\n".join([f"{head}; this provider does not tell its tokens", "", *_said(found.example)])
    trained = sum(token.weight != 0 for token in found.tokens)
    text = "".join(_span(weight, list(span)) for weight, span in groupby(found.tokens, key=lambda token: token.weight))
    return f"{head}: {plural(len(found.tokens), 'token')}, {trained} of them trained on\n\n{text}"


def _said(example: Example) -> Iterator[str]:
    """The messages of a row, then the answers of a preference pair or what graders look at."""
    for title, messages in (("", example.messages), ("chosen ", example.chosen), ("rejected ", example.rejected)):
        for message in messages or ():
            yield f"{style(title + message.role, 'bold')}: {safe(_content(message))}"
    for name, value in (example.item or {}).items():
        yield f"{style(one_line(name, 40), 'bold')}: {safe(value if isinstance(value, str) else str(value))}"


def _content(message: Message) -> str:
    return message.content if isinstance(message.content, str) else str(message.content or message.tool_calls or "")


def _span(weight: float, span: list[Token]) -> str:
    text = safe("".join(token.text for token in span))
    if not weight:
        return text
    mark = "" if weight == 1 else f"{weight:g}:"
    coloured = style(text, "bold", "green")
    return f"{mark}{coloured}" if coloured != text else f"⟦{mark}{text}⟧"
