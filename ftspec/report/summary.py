"""report.md: the run in under 60 lines of Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ftspec.common.evaluation import Comparison, Verdict
from ftspec.common.figures import duration, percent, plural, points
from ftspec.costs.costs import is_judging
from ftspec.report import money, text, words
from ftspec.report.data import ReportData

GATES = 8
CASES = 5
STEPS = 8
FINDINGS = 3
MODELS = 5
"""At most so many lines of each."""
MOST = 59
"""Lines of the whole: what is needed least is left out where there would be more."""


def render(data: ReportData) -> str:
    """The summary; every value from data stands in a code span, where Markdown and HTML mean nothing."""
    verdict = words.verdict(data)
    sign = {"PASS": "✅", "FAIL": "❌", "DONE": "☑️", "INSUFFICIENT_EVIDENCE": "❔"}[verdict]
    parts: list[list[str]] = [[f"## {sign} {verdict.replace('_', ' ')}: {code(data.name)}", ""]]
    if data.watermark:
        parts.append([f"> **{plain(data.watermark)}**", ""])
    parts.append([plain(words.sentence(data)), ""])
    sections = {section: list(section(data)) for section in SECTIONS}
    for least in (_steps, _money, _cases):
        if sum(map(len, [*parts, *sections.values()])) > MOST:
            sections[least] = []
    return "\n".join(line for part in [*parts, *sections.values()] for line in part) + "\n"


def code(given: str, limit: int = 90) -> str:
    """A code span of one line whose fence is longer than any run of backticks in it."""
    shown = text.visible(text.shortened(given, limit)).replace("\n", "⏎").replace("\t", " ")
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _cell(given: str, limit: int = 90) -> str:
    """A code span in a table's cell: there alone a backslash before a bar is not part of it."""
    return code(given, limit).replace("|", "\\|")


def plain(given: str) -> str:
    """Text of ours that may hold names of the user's: what Markdown or HTML would read is escaped.

    People, issues and emoji (`:100:`, as in `t.jsonl:100: ...`) are looked for in what comes of the Markdown, where an
    escaped sign is the sign again: only a space without width keeps them apart.
    """
    escaped = re.sub(r"([\\`*_{}\[\]#|~!<>])", r"\\\1", text.visible(given).replace("\n", " ").replace("&", "&amp;"))
    escaped = escaped.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")
    return re.sub(r"@|(?<!&)#(?=\d)|:(?=[\w+-]+:)", r"\g<0>&#8203;", escaped)


def _more(total: int, shown: int, what: str) -> list[str]:
    more = plural(total - shown, f"more {what}")
    return ["", f"… and {more}: see report.html.", ""] if total > shown else [""]


def _gates(data: ReportData) -> Iterable[str]:
    if not data.verdicts:
        return
    yield from ("| | gate | |", "|---|---|---|")
    for verdict in sorted(data.verdicts, key=_rank)[:GATES]:
        thin = verdict.outcome == "INSUFFICIENT_EVIDENCE"
        sign = "✅" if verdict.passed else "⚠️" if verdict.severity == "warning" else "❔" if thin else "❌"
        yield f"| {sign} | {_cell(verdict.gate)} | {plain(text.shortened(verdict.message, 300))} |"
    yield from _more(len(data.verdicts), GATES, "gate")


def _rank(verdict: Verdict) -> int:
    """What stops the run comes first, then what warns: not all may be shown."""
    return 2 if verdict.passed else verdict.severity == "warning"


def _scores(data: ReportData) -> Iterable[str]:
    if data.evaluation is None:
        return
    shown = dict(list(data.evaluation.scores.items())[:MODELS])
    yield from (f"| | {' | '.join(_cell(label, 30) for label in shown)} |", f"|---|{'---:|' * len(shown)}")
    scores = shown.values()
    spans = (f"{percent(s.known)} ({percent(s.interval.low)}–{percent(s.interval.high)})" for s in scores)
    yield f"| accuracy (95% interval) | {' | '.join(spans)} |"
    known = (percent(s.consistency) if s.consistency is not None else "not measured" for s in scores)
    yield f"| consistency | {' | '.join(known)} |"
    yield f"| quadrant | {' | '.join(s.quadrant for s in scores)} |"
    yield f"| prompts × repeats | {' | '.join(f'{s.prompts} × {s.repeats}' for s in scores)} |"
    if any(score.errors for score in scores):
        yield f"| not answered, or without a verdict | {' | '.join(f'{s.errors:,}' for s in scores)} |"
    yield from _more(len(data.evaluation.scores), MODELS, "model")
    if {"base", "tuned"} <= set(shown):
        gain = data.evaluation.gain_interval
        change = f"{points(gain.low)} to {points(gain.high)}"
        yield from (f"Gain: **{points(data.evaluation.gain)}** (95% interval {change}).", "")
    compared = [one for one in data.evaluation.comparisons if one.metric == "accuracy"]
    yield from _compared([one for one in compared if (one.label, one.against) != ("tuned", "base")])
    for name, suite in data.evaluation.suites.items():
        told = ", ".join(f"{code(label, 30)} {percent(score.known)}" for label, score in suite.scores.items())
        yield from (f"{plain(name.capitalize())} ability: {told}.", "")
    for grader, told in list(words.judges(data.evaluation))[:MODELS]:
        yield from (f"Judge {code(grader, 30)}: {plain(told)}.", "")


def _compared(found: Sequence[Comparison]) -> Iterable[str]:
    if found:
        yield from ("| accuracy compared | difference | 95% interval |", "|---|---:|---:|")
        for one in found[:MODELS]:
            pair = f"{_cell(one.label, 30)} − {_cell(one.against, 30)}"
            yield f"| {pair} | {points(one.difference)} | {points(one.interval.low)} to {points(one.interval.high)} |"
        yield from _more(len(found), MODELS, "pair")


def _cases(data: ReportData) -> Iterable[str]:
    worst = sorted((case for case in data.cases if case.failed), key=lambda case: case.change)
    if not worst:
        return
    which = "tuned" if any(case.tuned for case in worst) else "base"
    yield from (f"| what the {which} model fails | expected | said |", "|---|---|---|")
    for case in worst[:CASES]:
        wrong = next((said for said in case.tuned or case.base if not said.passed), None)
        if wrong is None:  # a further model's failure alone
            continue
        expected = "–" if case.expected is None else _cell(case.expected)
        yield f"| {_cell(words.excerpt(case.messages))} | {expected} | {_cell(words.said(wrong))} |"
    yield from _more(len(worst), CASES, "prompt")


def _steps(data: ReportData) -> Iterable[str]:
    if not data.counts:
        return
    yield from ("| data | rows in | rows out | changed |", "|---|---:|---:|---:|")
    for step in data.counts[:STEPS]:
        yield f"| {_cell(step.name)} | {step.rows_in:,} | {step.rows_out:,} | {step.changed:,} |"
    yield from _more(len(data.counts), STEPS, "step")


def _training(data: ReportData) -> Iterable[str]:
    if data.diagnosis and data.diagnosis.faulty:
        found = data.diagnosis
        yield f"⚠️ {found.kind}: {plain(found.message)}. Next time: {plain(found.advice)}"


def _findings(data: ReportData) -> Iterable[str]:
    for finding in data.findings[:FINDINGS]:
        sign = "⚠️" if finding.severity == "warning" else "❌"
        place = f"{code(finding.place)}: " if finding.file else ""
        yield f"- {sign} {place}{plain(text.shortened(finding.said, 200))}"
    if data.findings:
        yield from _more(max(data.findings_total, len(data.findings)), FINDINGS, "finding")


def _money(data: ReportData) -> Iterable[str]:
    """What serving costs with each model, and what the run has cost."""
    served, spent = money.serving(data), money.spent(data)
    if not served and not spent:
        return
    yield from ("| cost | |", "|---|---|")
    for label, said in list(served.items())[:MODELS]:
        yield f"| 1,000 answers, {_cell(label)} | {plain(said)} |"
    if spent:
        yield f"| this run | {plain(spent['together'])} |"
        if asked := [f"{part}: {said}" for part, said in spent.items() if is_judging(part)]:
            yield f"| of it, judging | {plain('; '.join(asked[:MODELS]))} |"
    yield ""


def _footer(data: ReportData) -> Iterable[str]:
    model = data.model.id if data.model else ""
    known = {"model": model, "method": data.method, "provider": data.provider, "run": data.run.id}
    took = sum(data.timings.values())
    said = [f"{key} {code(value)}" for key, value in known.items() if value]
    yield " · ".join(said + ([f"took {duration(took)}"] if took else []))


SECTIONS: tuple[Callable[[ReportData], Iterable[str]], ...] = (
    _gates, _scores, _cases, _steps, _training, _findings, _money, _footer
)  # fmt: skip
"""What follows the sentence, in this order."""
