"""A plan as text for people. Everything that comes from data or a plugin is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ftspec.cli import hints
from ftspec.cli.facts import NAMES, fact
from ftspec.common.figures import duration, money, plural, size
from ftspec.common.terminal import one_line, padded, safe, style, width

if TYPE_CHECKING:
    from ftspec.common.errors import Finding
    from ftspec.common.records import Plan, Step
    from ftspec.costs.costs import Part
    from ftspec.plans.dataresult import DataResult
    from ftspec.run.planning import Planned
    from ftspec.spec import Spec

SHOWN_REASONS = 6
SHOWN_WARNINGS = 6
SIDES = {"validation": "{:,} for validation", "test": "{:,} for test"}


def plan(spec: Spec, planned: Planned) -> str:
    """What a run would do: steps and why, data, estimate, where state goes."""
    found = planned.plan
    sections = [
        f"{style(found.name, 'bold')}: {spec.method} of {safe(spec.model.id)} with {spec.provider.name}"
        + watermark(found.watermark),
        _steps(found),
        "\n".join([*data_facts(planned.data), *_estimate(planned), *_costs(spec, planned), _inputs(found)]),
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


def data_facts(data: DataResult | None) -> Iterator[str]:
    if data is None:
        yield fact("data", "not measured")
        return
    others = [
        SIDES[side].format(count) if side in SIDES else plural(count, "prompt")
        for side, count in data.sides.items()
        if count and side != "train"
    ]
    yield fact("data", ", ".join([plural(data.size.rows, "training row"), *others]))
    dropped = sum(count.rows_in - count.rows_out for count in data.counts if count.rows_out < count.rows_in)
    if dropped:
        by = ", ".join(f"{c.rows_in - c.rows_out:,} by {c.name}" for c in data.counts if c.rows_out < c.rows_in)
        yield fact("dropped", f"{plural(dropped, 'row')}: {by}")
    if data.size.tokens is not None:
        trained = f", {data.size.trained_tokens:,} of them trained on" if data.size.trained_tokens is not None else ""
        yield fact("tokens", f"{data.size.tokens:,} per epoch{trained}")


def _warnings(data: DataResult | None) -> Iterator[str]:
    """What the data step warns of, as one section."""
    if data is None or not data.findings:
        return
    more = hints.here(f"  {plural(data.findings_total, 'warning')} in all: see `ftspec data show`")
    lines = [*map(finding_line, data.findings[:SHOWN_WARNINGS])]
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
    yield fact("tuning", (", ".join(parts) or "the provider cannot tell how long") + basis)


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
        yield fact(name, f"{shown} {_amount(part)}")
        name = ""
    if len(costs.parts) > 1 and costs.total is not None:
        most = "at most " if any(part.bound for part in costs.parts) else ""
        yield fact("", f"{padded('together', width(names[0]))} {most}{_sum(costs.total, costs.currency)}")
    for source, day in dict.fromkeys((part.source, part.as_of) for part in costs.parts if part.source and part.amount):
        yield fact("prices", one_line(f"of {day}, {source}"))
    if budget:
        spent = planned.spent.total if planned.spent else 0.0
        before = f", {money(spent, budget.currency)} spent already" if spent else ""
        rests = "; rests on unverified prices" if costs.unverified else ""
        yield fact("budget", f"{money(budget.max, budget.currency)}{before}{rests}")


def _amount(part: Part) -> str:
    said = filter(None, [one_line(part.basis), "unverified price" if part.amount and not part.verified else ""])
    basis = f" ({'; '.join(told)})" if (told := list(said)) else ""
    if part.amount is None:
        return f"cannot tell{basis}"
    return f"{'at most ' if part.bound else ''}{_sum(part.amount, part.currency)}{basis}"


def _sum(amount: float, currency: str) -> str:
    """An amount; nothing is nothing in every currency."""
    return money(amount, currency) if amount or currency else "nothing"


def _inputs(found: Plan) -> str:
    total = sum(entry.bytes for entry in found.inputs)
    return fact("inputs", f"{plural(len(found.inputs), 'file')}, {size(total)}")


def finding_line(finding: Finding) -> str:
    place = f"{finding.place}: " if finding.file and finding.line else ""
    hint = f"; {finding.hint}" if finding.hint else ""
    return f"  {style(finding.severity, 'yellow')}  {safe(place)}{one_line(finding.said + hint, 300)}"
