"""What is wrong with the data as a whole, once every row has been through every step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ftspec.common.errors import Finding, SpecFinding
from ftspec.common.faults import kind_of
from ftspec.contracts.abilities import SupportsLeastRows
from ftspec.contracts.provider import Provider
from ftspec.contracts.steps import Check
from ftspec.data.cleaning import Stage
from ftspec.data.findings import Findings
from ftspec.data.finished import Finished
from ftspec.data.ledger import Ledger
from ftspec.items import Tuned, blame, build, columns, guarded
from ftspec.registry import Registry
from ftspec.spec import Item, Spec

NO_COLUMN = "name a column of the prompts' rows as the cleaning leaves them, or remove it from `eval`"


def missing_columns(
    stages: Iterable[Stage], registry: Registry, ledger: Ledger, read: Collection[str]
) -> Iterator[Finding]:
    """A column that a step names and no row has is a typing error, and not an empty column. `read` are the sources'."""
    for stage in stages:
        tally = ledger.tallies[stage.index]
        for path, name in columns(stage.item, registry) if tally.rows_in else []:
            if name not in tally.columns and name not in read:
                message = f"step '{stage.item.name}': no row has a column '{name}'"
                hint = f"columns are {', '.join(map(repr, sorted(tally.columns)))}"
                yield SpecFinding(message=message, hint=hint, path=path)


def judge(
    checks: Iterable[Item], spec: Spec, registry: Registry, tuned: Tuned, finished: Finished, findings: Findings
) -> None:
    """Every check, over all rows. Raises DataError with everything found so far."""
    tuner = tuned.tuner(registry, spec.folder)
    for item, measures in zip(checks, finished.measures, strict=True):
        check: Check = build(item, registry, spec.folder, tuner)
        with guarded(item, registry, "judge"):
            said = list(check.judge(measures))
        findings.judge(item, found(item, registry, said, check.judge))
        measures.close()
    for finding in _nothing_left(spec, finished, findings):
        findings.add(finding)
    findings.raise_errors()


def found(item: Item, registry: Registry, said: Iterable[Any], function: Any) -> Iterator[Finding]:
    """What a check said. Raises PluginError for what is no finding."""
    who = blame(item, registry)
    for each in said:
        if not isinstance(each, Finding):
            raise who.fault(f"yielded {kind_of(each)}; a Finding is wanted", function)
        yield who.verified(each, type(each), function)


def _nothing_left(spec: Spec, finished: Finished, findings: Findings) -> Iterator[Finding]:
    if not finished.sides["train"]:
        warnings = findings.bounded()[:1] if not findings.totals["error"] else ()
        said = "".join(f"; the first warning is {each.place}: {each.message}" for each in warnings if each.file)
        hint = f"look at what the cleaning dropped and the split held out{said}"
        yield Finding(message="no row is left to train on", hint=hint)
    if spec.eval and not finished.prompts:
        hint = "give the split a larger share, or name a source under eval.prompts"
        yield Finding(message="the evaluation has no prompts", hint=hint)
    for name in sorted(finished.unseen) if finished.prompts else ():
        message = f"no prompt has a column '{name}', which `eval` names"
        yield Finding(message=message, hint=NO_COLUMN, severity="warning")


def enough_rows(provider: Provider, name: str, there: int, findings: Findings) -> None:
    """Raises DataError for fewer training rows than the provider takes."""
    least = provider.least_rows if isinstance(provider, SupportsLeastRows) else 0
    if there < least:
        message = f"{name} wants at least {least} training examples, and there are {there}"
        findings.add(Finding(message=message, hint="add rows, or keep more of them: see the cleaning's counts"))
        findings.raise_errors()
