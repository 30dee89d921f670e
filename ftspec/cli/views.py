"""Plans, outcomes and runs as text for people. Everything that comes from data or a plugin is escaped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ftspec.cli import scores
from ftspec.figures import duration, money, percent, plural, size
from ftspec.terminal import one_line, padded, safe, style, table, width

if TYPE_CHECKING:
    from ftspec.abilities import Token
    from ftspec.costs import Part
    from ftspec.errors import Finding
    from ftspec.jobs import TrainingEvent
    from ftspec.litter import Litter
    from ftspec.messages import Example, Message
    from ftspec.models import Shown
    from ftspec.pipeline import DataResult
    from ftspec.planning import Planned
    from ftspec.records import Evaluation, Event, Interval, Plan, RunInfo, Score, Step, Verdict
    from ftspec.rendering import Rendered
    from ftspec.runner import Outcome
    from ftspec.spec import Spec
    from ftspec.tuning import Status as JobStatus
    from ftspec.watching import Status

SHOWN_REASONS = 6
SHOWN_WARNINGS = 6
NAMES = 14
"""Columns that names of steps, parts and facts take at the least."""
SIDES = {"validation": "for validation", "test": "for test", "prompt": "prompts"}
STATES = {
    "done": "green",
    "failed": "red",
    "gate_failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "detached": "cyan",
    "interrupted": "yellow",
    "damaged": "red",
}


def plan(spec: Spec, planned: Planned) -> str:
    """What a run would do: steps and why, data, estimate, where state goes."""
    found = planned.plan
    sections = [
        f"{style(found.name, 'bold')}: {spec.method} of {safe(spec.model.id)} with {spec.provider.name}"
        + watermark(found.watermark),
        _steps(found),
        "\n".join([*_data(planned.data), *_estimate(planned), *_costs(spec, planned), _inputs(found)]),
        *_warnings(planned.data),
        f"run {found.run}{': everything is done' if all(step.cached for step in found.steps) else ''}",
    ]
    return "\n\n".join(sections)


def watermark(text: str) -> str:
    return f" {style(f'[{text}]', 'bold', 'yellow')}" if text else ""


def _steps(found: Plan) -> str:
    lines = []
    names = _column(step.name for step in found.steps)
    for step, name in zip(found.steps, names, strict=True):
        state = style("cached", "green") if step.cached else style("to do ", "yellow")
        reasons = _reasons(step)
        lines.append(f"  {name} {state}  {reasons[0] if reasons else ''}".rstrip())
        lines += [f"  {'':<{width(name) + 8}} {reason}" for reason in reasons[1:]]
    return "\n".join(lines)


def _column(names: Iterable[str]) -> list[str]:
    """Names of parts, made equally wide; a label of the user's may be longer than ours are."""
    shown = [safe(name) for name in names]
    return [padded(name, max(NAMES, *map(width, shown))) for name in shown]


def _reasons(step: Step) -> list[str]:
    shown = [one_line(reason) for reason in step.why[:SHOWN_REASONS]]
    rest = len(step.why) - len(shown)
    return [*shown, f"and {rest} more"] if rest else shown


def _data(data: DataResult | None) -> Iterator[str]:
    if data is None:
        yield _fact("data", "not measured")
        return
    others = [f"{count:,} {SIDES[side]}" for side, count in data.sides.items() if count and side != "train"]
    yield _fact("data", ", ".join([plural(data.size.rows, "training row"), *others]))
    dropped = sum(count.rows_in - count.rows_out for count in data.counts if count.rows_out < count.rows_in)
    if dropped:
        by = ", ".join(f"{c.rows_in - c.rows_out:,} by {c.name}" for c in data.counts if c.rows_out < c.rows_in)
        yield _fact("dropped", f"{plural(dropped, 'row')}: {by}")
    if data.size.tokens is not None:
        trained = f", {data.size.trained_tokens:,} of them trained on" if data.size.trained_tokens is not None else ""
        yield _fact("tokens", f"{data.size.tokens:,} per epoch{trained}")


def _warnings(data: DataResult | None) -> Iterator[str]:
    """What the data step warns of, as one section."""
    if data is None or not data.findings:
        return
    more = f"  {plural(data.findings_total, 'warning')} in all: see `ftspec data show`"
    lines = [*map(_finding, data.findings[:SHOWN_WARNINGS])]
    yield "\n".join([*lines, more] if len(data.findings) > SHOWN_WARNINGS else lines)


def _estimate(planned: Planned) -> Iterator[str]:
    estimate = planned.estimate
    if estimate is None:
        return
    parts = []
    if estimate.steps is not None:
        parts.append(plural(estimate.steps, "step"))
    if estimate.seconds is not None:
        parts.append(f"about {duration(estimate.seconds)}")
    if estimate.cost is not None and not _billed(planned):
        parts.append(f"{estimate.cost:.2f} {estimate.currency}")
    basis = f" ({one_line(estimate.basis)})" if estimate.basis else ""
    yield _fact("tuning", (", ".join(parts) or "the provider cannot tell how long") + basis)


def _billed(planned: Planned) -> bool:
    """Whether anything costs money, as far as is known."""
    return planned.costs is not None and any(part.amount != 0 for part in planned.costs.parts)


def _costs(spec: Spec, planned: Planned) -> Iterator[str]:
    """What each part costs, where prices come from, and what is left of the budget."""
    costs, budget = planned.costs, spec.budget
    if costs is None or (not budget and not _billed(planned)):
        return
    name = "cost"
    names = _column(part.name for part in costs.parts)
    for part, shown in zip(costs.parts, names, strict=True):
        yield _fact(name, f"{shown} {_amount(part)}")
        name = ""
    if len(costs.parts) > 1 and costs.total is not None:
        most = "at most " if any(part.bound for part in costs.parts) else ""
        yield _fact("", f"{padded('together', width(names[0]))} {most}{money(costs.total, costs.currency)}")
    for source, day in dict.fromkeys((part.source, part.as_of) for part in costs.parts if part.source and part.amount):
        yield _fact("prices", one_line(f"of {day}, {source}"))
    if budget:
        spent = planned.spent.total if planned.spent else 0.0
        before = f", {money(spent, budget.currency)} spent already" if spent else ""
        rests = "; rests on unverified prices" if costs.unverified else ""
        yield _fact("budget", f"{money(budget.max, budget.currency)}{before}{rests}")


def _amount(part: Part) -> str:
    said = filter(None, [one_line(part.basis), "unverified price" if part.amount and not part.verified else ""])
    basis = f" ({'; '.join(told)})" if (told := list(said)) else ""
    if part.amount is None:
        return f"cannot tell{basis}"
    return f"{'at most ' if part.bound else ''}{money(part.amount, part.currency)}{basis}"


def _inputs(found: Plan) -> str:
    total = sum(entry.bytes for entry in found.inputs)
    return _fact("inputs", f"{plural(len(found.inputs), 'file')}, {size(total)}")


def _fact(name: str, text: str) -> str:
    return f"  {name:<{NAMES}} {text}"


def outcome(spec: Spec, found: Outcome) -> str:
    """What a run came to: the verdict in a sentence, the figures, the gates, and the report's path last."""
    lines = [_sentence(found), "", _fact("model", f"{safe(spec.model.id)}, {spec.method} with {spec.provider.name}")]
    if found.evaluation:
        usual = found.evaluation.tuned.prompts and not found.evaluation.further
        lines += _evaluation(found.evaluation) if usual else scores.table_of(found.evaluation)
    lines += [line for verdict in found.verdicts for line in _verdict(verdict)]
    return "\n".join([*lines, "", f"report: {found.report}"])


def _sentence(found: Outcome) -> str:
    name = style(found.run.name, "bold")
    again = "; nothing had to be done again" if found.already_done else ""
    if not found.passed:
        said = [verdict.gate for verdict in found.verdicts if not verdict.passed and verdict.severity == "error"]
        return f"{style('✗', 'red')} {name} did not pass: {', '.join(said)} said no{again}"
    if found.evaluation is None:
        return f"{style('✓', 'green')} {name} is tuned, and nothing was evaluated{again}"
    done = "is tuned and evaluated" if found.evaluation.tuned.prompts else "is evaluated"
    judged = f"passed {plural(len(found.verdicts), 'gate')}" if found.verdicts else done
    return f"{style('✓', 'green')} {name} {judged}{again}"


def _evaluation(found: Evaluation) -> Iterator[str]:
    base, tuned = found.base, found.tuned
    repeats = f", {tuned.repeats} answers each" if tuned.repeats > 1 else ""
    better = style(percent(tuned.accuracy), "bold")
    yield _fact("accuracy", f"{percent(base.accuracy)} → {better}{_within(tuned.interval)}")
    yield _fact("gain", f"{found.gain * 100:+.1f} points{_within(found.gain_interval)}")
    yield _fact("consistency", f"{_consistency(base)} → {_consistency(tuned)}")
    if tuned.quadrant != "not measured":
        yield _fact("tuned model", tuned.quadrant)
    yield _fact("prompts", f"{tuned.prompts:,}{repeats}" + _errors(base, tuned))


def _errors(base: Score, tuned: Score) -> str:
    return f"; {plural(base.errors + tuned.errors, 'answer')} could not be had" if base.errors + tuned.errors else ""


def _within(interval: Interval) -> str:
    return f" (95% interval {interval.low * 100:.1f} to {interval.high * 100:.1f})"


def _consistency(score: Score) -> str:
    return "not measured" if score.consistency is None else percent(score.consistency)


def _verdict(verdict: Verdict) -> Iterator[str]:
    """The gate's sentence, and the worst cases where it did not pass."""
    failed = "✗" if verdict.severity == "error" else "!"
    sign = style("✓", "green") if verdict.passed else style(failed, "red")
    thin = "" if verdict.passed or verdict.outcome == "FAIL" else "INSUFFICIENT EVIDENCE: "
    yield f"  {sign} {one_line(verdict.gate, 40)}: {thin}{one_line(verdict.message, 320)}"
    for case in () if verdict.passed else verdict.worst[:3]:
        asked, said = one_line(case.asked or case.prompt, 60), one_line(case.said or "(nothing)", 60)
        wanted = f", expected {one_line(case.expected, 60)}" if case.expected else ""
        yield style(f"      {asked} → {said}{wanted}", "dim")


def runs(found: Iterable[RunInfo]) -> str:
    """A table of runs, as they come."""
    rows = [(run.id, run.state, run.phase, _ago(run.started), _took(run), run.spec) for run in found]
    return table(rows, ("RUN", "STATE", "PHASE", "STARTED", "TOOK", "SPEC"))


def litter(found: Iterable[Litter]) -> str:
    """A table of what no run needs, as it comes."""
    rows = [
        (one.kind, one.where, one.id, size(one.bytes) if one.bytes is not None else "", _ago(one.created_at), one.why)
        for one in found
    ]
    return table(rows, ("KIND", "WHERE", "ID", "SIZE", "MADE", "WHY"))


def status(found: Status) -> str:
    """One run: its state, where it is, since when, and what its job says."""
    run = found.run
    state = style(run.state.replace("_", " "), STATES[run.state])
    if run.state == "running" and not found.alive:
        state += style(" (no process of this machine works on it: `ftspec run` continues it)", "yellow")
    facts = [("phase", run.phase), ("started", _ago(run.started)), ("took", _took(run)), ("spec", run.spec)]
    facts += [*_job(found.job), ("report", run.report)]
    return "\n".join([f"{style(run.id, 'bold')}: {state}", *(_fact(name, safe(text)) for name, text in facts if text)])


def _job(job: JobStatus | None) -> Iterator[tuple[str, str]]:
    if job is None:
        return
    raw = f" ({job.raw})" if job.raw and job.raw != job.state else ""
    if job.claimed:
        yield "job", f"claimed by {job.claimed}, who left no word of what came of it: `ftspec run` looks for it"
    elif job.job:
        yield "job", f"{job.job.id}: {job.state or f'the provider cannot tell: {job.unknown}'}{raw}"
    if job.last:
        yield "last", training(job.last)
    if job.diagnosis and job.diagnosis.faulty:
        yield job.diagnosis.kind, job.diagnosis.message
        yield "next time", job.diagnosis.advice
    yield "error", job.error
    yield "hint", job.hint
    yield "orphans", ", ".join(orphan.id for orphan in job.orphans)


def training(event: TrainingEvent) -> str:
    """One event of a job: step, message, metrics."""
    step = f"step {event.step}{f'/{event.total_steps}' if event.total_steps else ''}" if event.step else ""
    level = event.level if event.level != "info" else ""
    figures = ", ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
    return "  ".join(filter(None, [level, step, one_line(event.message, 200), figures]))


def decision(event: Event) -> str:
    """One decision of a run: its kind, and those of its facts that fit on a line."""
    facts = {name: value for name, value in event.data.items() if isinstance(value, str | int | float) and value != ""}
    facts.pop("text", None)
    told = ", ".join(f"{name} {one_line(str(value), 80)}" for name, value in facts.items())
    return f"{style(event.kind.replace('_', ' '), 'bold')}  {told}".rstrip()


def model(shown: Shown) -> str:
    """The tuned model: what it is, how it was made, how it did, what can be taken away."""
    facts = [
        ("run", shown.run),
        ("base model", shown.model.base.id),
        ("made by", f"{shown.method} with {shown.provider}"),
        ("options", ", ".join(f"{name} {value}" for name, value in _flat(shown.hyperparameters))),
        ("accuracy", _accuracy(shown)),
        ("gates", {True: "passed", False: "not passed", None: ""}[shown.passed]),
        ("exports", ", ".join(shown.exports)),
        *((name, str(value)) for name, value in shown.model.details.items()),
    ]
    return "\n".join([style(safe(shown.model.id), "bold"), *(_fact(n, safe(text)) for n, text in facts if text)])


def _accuracy(shown: Shown) -> str:
    if shown.accuracy is None or shown.base_accuracy is None:
        return ""
    return f"{percent(shown.base_accuracy)} → {percent(shown.accuracy)}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def _ago(moment: float) -> str:
    return f"{duration(max(time.time() - moment, 0))} ago" if moment else ""


def _took(run: RunInfo) -> str:
    return duration(run.finished - run.started) if run.finished else ""


def waterfall(data: DataResult, *, samples: bool = False) -> str:
    """What each step did to the rows, why, and where the rest went; with a few rows of each step where wanted."""
    from ftspec.cli import lookviews

    shown = lookviews.samples(data.counts) if samples else ()
    findings = (_finding(finding) for finding in data.findings)
    return "\n".join([lookviews.steps(data.counts), "", *_data(data), *findings, *shown])


def _finding(finding: Finding) -> str:
    place = f"{finding.place}: " if finding.file and finding.line else ""
    hint = f"; {finding.hint}" if finding.hint else ""
    return f"  {style(finding.severity, 'yellow')}  {safe(place)}{one_line(finding.message + hint, 300)}"


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
