"""Runs, what came of them and what they leave, as text for people. What comes from data or a plugin is escaped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from ftspec.cli import hints, scores
from ftspec.cli.facts import fact
from ftspec.common.figures import duration, percent, plural, size
from ftspec.common.records import only_evaluates
from ftspec.common.terminal import one_line, safe, style, table
from ftspec.common.wording import flat

if TYPE_CHECKING:
    from ftspec.common.evaluation import Evaluation, Interval, Score, Verdict
    from ftspec.common.jobs import TrainingEvent
    from ftspec.common.records import Event, RunInfo
    from ftspec.run.runner import Outcome
    from ftspec.spec import Spec
    from ftspec.upkeep.litter import Litter
    from ftspec.views.models import Shown
    from ftspec.views.watching import Status

STATES = {
    "done": "green",
    "failed": "red",
    "gate_failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "detached": "cyan",
    "stopped": "cyan",
    "interrupted": "yellow",
    "damaged": "red",
}


def outcome(spec: Spec, found: Outcome) -> str:
    """What a run came to: the verdict in a sentence, the figures, the gates, and the report's path last."""
    asked_only = found.evaluation and not found.evaluation.tuned.prompts
    made = f"of {spec.provider.name}" if asked_only else f"{spec.method} with {spec.provider.name}"
    lines = [_sentence(found), "", fact("model", f"{safe(spec.model.id)}, {made}")]
    if found.evaluation:
        usual = found.evaluation.tuned.prompts and not found.evaluation.further
        lines += _evaluation(found.evaluation) if usual else _models(found.evaluation)
        told = _judges(found.evaluation)
        lines += [""] if (told or found.verdicts) and not usual else []
        lines += told
    lines += [line for verdict in found.verdicts for line in _verdict(verdict)]
    return "\n".join([*lines, "", f"report: {found.report}" if found.report else _next(spec, found)])


def _next(spec: Spec, found: Outcome) -> str:
    look = f"look at it: ftspec data show {spec.file.name}\n" if found.run.phase == "data" else ""
    return hints.here(f"{look}go on: ftspec run {spec.file.name}")


def _sentence(found: Outcome) -> str:
    name = style(found.run.name, "bold")
    again = "; nothing had to be done again" if found.already_done else ""
    if not found.passed:
        said = [verdict.gate for verdict in found.verdicts if not verdict.passed and verdict.severity == "error"]
        return f"{style('✗', 'red')} {name} did not pass: {', '.join(said)} said no{again}"
    if found.run.state == "stopped":
        done = "has its data" if found.run.phase == "data" else "is tuned"
        return f"{style('✓', 'green')} {name} {done}, and stopped there, as asked"
    if found.evaluation is None:
        return f"{style('✓', 'green')} {name} is tuned, and nothing was evaluated{again}"
    done = "is tuned and evaluated" if found.evaluation.tuned.prompts else "is evaluated"
    judged = f"passed {plural(len(found.verdicts), 'gate')}" if found.verdicts else done
    return f"{style('✓', 'green')} {name} {judged}{again}"


def _evaluation(found: Evaluation) -> Iterator[str]:
    base, tuned = found.base, found.tuned
    repeats = f", {tuned.repeats} answers each" if tuned.repeats > 1 else ""
    better = style(percent(tuned.known), "bold")
    yield fact("accuracy", f"{percent(base.known)} → {better} (95% interval {_shares(tuned.interval)})")
    yield fact("gain", f"{found.gain * 100:+.1f} points (95% interval {_points(found.gain_interval)})")
    yield fact("consistency", f"{_consistency(base)} → {_consistency(tuned)}")
    if tuned.quadrant != "not measured":
        yield fact("tuned model", tuned.quadrant)
    yield fact("prompts", f"{tuned.prompts:,}{repeats}" + _errors(base, tuned))


def _models(found: Evaluation) -> Iterator[str]:
    """Any number of models, and how they compare, as tables between blank lines."""
    tables = [scores.table_of(found), *([scores.compared(found)] if found.comparisons else [])]
    for each in tables:
        yield from ("", indent(each, "  "))


def _judges(found: Evaluation) -> list[str]:
    """What there is to know of graders that ask a model."""
    from ftspec.report.words import judges

    return [fact(f"judge {one_line(grader, 30)}", one_line(told, 320)) for grader, told in judges(found)]


def _errors(base: Score, tuned: Score) -> str:
    return (
        f"; {plural(base.errors + tuned.errors, 'answer')} missing or not graded" if base.errors + tuned.errors else ""
    )


def _shares(interval: Interval) -> str:
    return f"{percent(interval.low)} to {percent(interval.high)}"


def _points(interval: Interval) -> str:
    return f"{interval.low * 100:.1f} to {interval.high * 100:.1f}"


def _consistency(score: Score) -> str:
    return "not measured" if score.consistency is None else percent(score.consistency)


def _verdict(verdict: Verdict) -> Iterator[str]:
    """The gate's sentence, and the worst cases where it did not pass."""
    failed = "✗" if verdict.severity == "error" else "!"
    sign = style("✓", "green") if verdict.passed else style(failed, "red")
    thin = "" if verdict.passed or verdict.outcome == "FAIL" else "INSUFFICIENT EVIDENCE: "
    yield f"  {sign} {one_line(verdict.gate, 40)}: {thin}{one_line(verdict.message, 320)}"
    for case in () if verdict.passed else verdict.worst[:3]:
        said = f" → {one_line(case.said or '(nothing)', 60)}" if case.said or case.expected else ""
        told = not case.expected or case.reason.startswith("expected ")
        wanted = "" if told else f", expected {one_line(case.expected, 60)}"
        why = f" ({one_line(case.reason, 80)})" if case.reason else ""
        yield style(f"      {one_line(case.asked or case.prompt, 60)}{said}{wanted}{why}", "dim")


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
        command = "eval" if only_evaluates(run.id, run.name) else "run"
        goes_on = hints.of_run(
            f" (no process of this machine works on it: `ftspec {command}` continues it)", run.spec, found.overrides
        )
        state += style(goes_on, "yellow")
    facts = [("phase", run.phase), ("started", _ago(run.started)), ("took", _took(run)), ("spec", run.spec)]
    facts += [*_job(found), *_why(found), *_goes_on(found), ("report", _report(run))]
    return "\n".join([f"{style(run.id, 'bold')}: {state}", *(fact(name, safe(text)) for name, text in facts if text)])


def _why(found: Status) -> Iterator[tuple[str, str]]:
    """Why the run has failed and what to do, as far as the job has not said that already."""
    if found.error and not (found.job and found.job.error):
        yield "error", found.error
    if found.hint and not (found.job and found.job.hint):
        yield "hint", hints.of_run(found.hint, found.run.spec, found.overrides)


def _report(run: RunInfo) -> str:
    """Where the report is; one that another machine has written is not here before it is asked for."""
    there = not run.report or Path(run.report).exists()
    return run.report if there else hints.of_run(f"`ftspec report {run.id}` brings it here", run.spec)


def _goes_on(found: Status) -> Iterator[tuple[str, str]]:
    """What goes on with a run that nobody works on, once its job has ended well."""
    ended = found.job is not None and found.job.model is not None
    if found.run.state == "detached" and not found.alive and ended:
        yield "next", hints.of_run("`ftspec run` goes on with what the job made", found.run.spec, found.overrides)


def _job(found: Status) -> Iterator[tuple[str, str]]:
    job = found.job
    if job is None:
        return
    raw = f" ({job.raw})" if job.raw and job.raw != job.state else ""
    if job.claimed:
        looks = hints.of_run("`ftspec run` looks for it", found.run.spec, found.overrides)
        yield "job", f"claimed by {job.claimed}, who left no word of what came of it: {looks}"
    elif job.job:
        yield "job", f"{job.job.id}: {job.state or f'the provider cannot tell: {job.unknown}'}{raw}"
    if job.last:
        yield "last", training(job.last)
    if job.diagnosis and job.diagnosis.faulty:
        yield job.diagnosis.kind, job.diagnosis.message
        yield "next time", job.diagnosis.advice
    yield "error", job.error
    yield "hint", hints.of_run(job.hint, found.run.spec, found.overrides)
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
    if event.kind == "started":
        facts["by"] = event.writer
    for verdict in event.data.get("verdicts", ()) if event.kind == "judged" else ():
        facts[one_line(verdict["gate"], 40)] = verdict.get("outcome", "").lower().replace("_", " ")
    told = ", ".join(f"{name} {one_line(str(value), 80)}" for name, value in facts.items())
    return f"{style(event.kind.replace('_', ' '), 'bold')}  {told}".rstrip()


def model(shown: Shown) -> str:
    """The tuned model: what it is, how it was made, how it did, what can be taken away."""
    facts = [
        ("run", shown.run),
        ("base model", shown.model.base.id),
        ("made by", f"{shown.method} with {shown.provider}"),
        ("options", ", ".join(f"{name} {value}" for name, value in flat(shown.hyperparameters))),
        ("accuracy", _accuracy(shown)),
        ("gates", {True: "passed", False: "not passed", None: ""}[shown.passed]),
        ("exports", ", ".join(shown.exports)),
        *((name, str(value)) for name, value in shown.model.details.items()),
    ]
    return "\n".join([style(safe(shown.model.id), "bold"), *(fact(n, safe(text)) for n, text in facts if text)])


def _accuracy(shown: Shown) -> str:
    if shown.accuracy is None or shown.base_accuracy is None:
        return ""
    return f"{percent(shown.base_accuracy)} → {percent(shown.accuracy)}"


def _ago(moment: float) -> str:
    return f"{duration(max(time.time() - moment, 0))} ago" if moment else ""


def _took(run: RunInfo) -> str:
    return duration(max(run.finished - run.started, 0)) if run.finished else ""  # a clock may be set back
