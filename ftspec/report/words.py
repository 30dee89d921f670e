"""What a run's report says in words, shared by the page, the summary and the model card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from ftspec.common.evaluation import Evaluation, JudgeUse
from ftspec.common.figures import duration, percent, plural
from ftspec.common.messages import Message
from ftspec.common.wording import flat
from ftspec.report import money, text
from ftspec.report.data import ReportData, Said
from ftspec.stats.statistics import wilson

SCORES = 5
"""Models whose accuracy the sentence tells, where none of them is the tuned one."""


def verdict(data: ReportData) -> str:
    """PASS, FAIL or INSUFFICIENT_EVIDENCE where something decides, else DONE."""
    refused = {verdict.outcome for verdict in data.verdicts if not verdict.passed and verdict.severity == "error"}
    errors = any(finding.severity == "error" for finding in data.findings)
    if refused == {"INSUFFICIENT_EVIDENCE"} and not errors:
        return "INSUFFICIENT_EVIDENCE"
    if not data.passed:
        return "FAIL"
    return "PASS" if data.verdicts else "DONE"


def sentence(data: ReportData) -> str:
    """What the verdict rests on, in one sentence."""
    failed = [verdict for verdict in data.verdicts if not verdict.passed and verdict.severity == "error"]
    errors = sum(finding.severity == "error" for finding in data.findings)
    if failed:
        names = ", ".join(verdict.gate for verdict in failed)
        of = "1 gate" if len(data.verdicts) == 1 else f"{len(failed)} of {len(data.verdicts)} gates"
        return f"{of} did not pass: {names}.{_measured(data)}"
    if errors:
        return f"The data checks found {plural(errors, 'error')}."
    if data.verdicts:
        warned = sum(not verdict.passed for verdict in data.verdicts)
        every = f"every gate but {warned} that only warn{'s'[: warned == 1]}" if warned else "every gate"
        if data.evaluation and not data.evaluation.tuned.prompts:
            return f"{every.capitalize()} passes.{_measured(data)}"
        return f"The tuned model passes {every}.{_measured(data, 'It')}"
    return f"The run is complete; no gate judged it.{_measured(data)}"


def _measured(data: ReportData, tuned_model: str = "The tuned model") -> str:
    if data.evaluation is None or not data.evaluation.scores:
        return ""
    base, tuned = data.evaluation.base, data.evaluation.tuned
    asked = plural(max(score.prompts for score in data.evaluation.scores.values()), "prompt")
    if tuned.prompts:
        right = f"{tuned_model} answers {percent(tuned.known)} of {asked} right"
        return f" {right}; the base model {percent(base.known)}."
    named = [f"{label} {percent(score.known)}" for label, score in data.evaluation.scores.items()]
    more = f" and {len(named) - SCORES} more" if len(named) > SCORES else ""
    return f" Of {asked}, answered right: {', '.join(named[:SCORES])}{more}."


def excerpt(messages: Sequence[Message]) -> str:
    """What tells prompts apart: the last message of the user."""
    spoken = [message for message in messages if message.role == "user"] or list(messages)
    return text.shortened(text.content(spoken[-1].content), 240) if spoken else ""


def said(answer: Said) -> str:
    """What an answer said: its text, its tool calls, or why there is none."""
    if answer.error:
        return f"no answer: {answer.error}"
    calls = text.value(answer.tool_calls) if answer.tool_calls else ""
    return "\n".join(filter(None, [answer.text, calls])) or "(empty)"


def when(seconds: float) -> str:
    """Seconds since the epoch as date and time, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def option(given: Any) -> str:
    """A hyperparameter's or an option's value."""
    return text.shortened(text.value(given), 400)


def facts(data: ReportData) -> dict[str, dict[str, str]]:
    """Tables of the provenance: title → name → value."""
    return {
        title: table
        for title, table in {
            "Run": _run(data),
            "Model": _model(data),
            "Hyperparameters": {key: option(value) for key, value in flat(data.hyperparameters)},
            "Estimate and actual": _actual(data),
            "Cost of this run": money.spent(data),
            "Serving, for 1,000 answers": money.serving(data),
            "Time": {phase: duration(seconds) for phase, seconds in data.timings.items()},
            "Versions": data.versions,
            "Digests": {} if data.plan else data.digests,
        }.items()
        if table
    }


def _run(data: ReportData) -> dict[str, str]:
    found = {
        "run": data.run.id,
        "started": when(data.run.started) if data.run.started else "",
        "finished": when(data.run.finished) if data.run.finished else "",
        "spec": data.spec,
        "spec sha256": data.spec_sha256,
        "plan": data.plan.digest if data.plan else "",
        "data": data.data_digest,
        "ftspec": data.ftspec,
    }
    return {key: value for key, value in found.items() if value}


def _model(data: ReportData) -> dict[str, str]:
    options = ", ".join(f"{key}: {option(value)}" for key, value in data.method_options.items())
    found = {
        "base model": data.model.id if data.model else "",
        "revision": (data.model.revision or "") if data.model else "",
        "tuned model": data.tuned.id if data.tuned else "",
        "provider": data.provider,
        "method": f"{data.method} ({options})" if options else data.method,
        "answers": _generation(data),
    }
    return {key: value for key, value in found.items() if value}


def _generation(data: ReportData) -> str:
    if data.generation is None:
        return ""
    how = "greedy" if data.generation.temperature == 0 else f"temperature {data.generation.temperature:g}"
    return f"{how}, at most {data.generation.max_tokens} tokens"


def trained(data: ReportData) -> float | None:
    """Seconds that the job's own events span, which a resumed run did not wait for; else those of the tuning phase."""
    if len(data.training) > 1:
        return max(event.at for event in data.training) - min(event.at for event in data.training)
    return data.timings.get("tuning")


def _actual(data: ReportData) -> dict[str, str]:
    """What the provider said before against what it was."""
    before = data.estimate
    found: dict[str, str] = {}
    if before is None:
        return {}
    if before.seconds is not None:
        took = trained(data)
        actual = "" if took is None else f", took {duration(took)}"
        found["time"] = f"estimated {duration(before.seconds)}{actual}"
    if before.cost is not None:
        actual = f", was {data.cost:,.2f}" if data.cost is not None else ""
        found["cost"] = f"estimated {before.cost:,.2f}{actual} {before.currency}"
    if before.steps is not None:
        steps = max((event.step or 0 for event in data.training), default=0)
        found["steps"] = f"estimated {before.steps:,}, took {steps:,}"
    if found and before.basis:
        found["basis"] = before.basis
    return found


def judges(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Of each grader that asks a model, what there is to know before it is trusted: (its id, in words)."""
    uses = [(label, use) for label, score in evaluation.scores.items() for use in score.judges]
    for grader in dict.fromkeys(use.grader for _, use in uses):
        said = [*_agreement(next(use for _, use in uses if use.grader == grader))]
        said += [part for label, use in uses if use.grader == grader for part in _silent_or_compared(label, use)]
        if said:
            yield grader, "; ".join(said)


def agreement(use: JudgeUse) -> str:
    """How far a judge agrees with people: a share, with its interval, for labels are few."""
    if use.agreement is None:
        return "–"
    interval = wilson(use.agreement, use.labelled)
    return f"{percent(use.agreement)} (95% interval {percent(interval.low)} to {percent(interval.high)})"


def _agreement(use: JudgeUse) -> Iterator[str]:
    if use.labelled:
        kappa = f", kappa {use.kappa:.2f}" if use.kappa is not None else ""
        yield f"{use.model} agrees with people on {agreement(use)} of {plural(use.labelled, 'answer')}{kappa}"


def _silent_or_compared(label: str, use: JudgeUse) -> Iterator[str]:
    if use.failed:
        yield f"{use.failed:,} of {plural(use.questions, 'question')} about {label} got no reply"
    if use.unclear:
        yield f"{plural(use.unclear, 'answer')} of {label} got no verdict"
    if use.won or use.tied or use.lost:
        yield f"{label} won {use.won:,}, tied {use.tied:,}, lost {use.lost:,}"
