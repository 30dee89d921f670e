"""Checks of what the data step has written: size, tokens, money. They are judged each time that the data are looked at,
because epochs and prices may change while the data stay the same."""

from __future__ import annotations

from msgspec.structs import replace

from ftspec.contracts.steps import Check, Weighed
from ftspec.costs.costs import Part, epochs, tuning_part
from ftspec.data import checking
from ftspec.data.findings import Findings
from ftspec.data.staging import checks_of
from ftspec.items import Tuned, build, guarded
from ftspec.plans.dataresult import DataResult
from ftspec.run.datastep import Dataset
from ftspec.run.site import Site


def weighed(site: Site, dataset: Dataset) -> Dataset:
    """The dataset, with what such checks found and the spec waives. Raises DataError for the rest."""
    spec, registry = site.spec, site.registry
    tuner = Tuned(spec.provider, site.target.request).tuner(registry, spec.folder)
    found = Findings(lambda row: ("", 0))
    facts: Weighed | None = None
    for item in checks_of(spec, registry):
        check: Check = build(item, registry, spec.folder, tuner)
        if check.weigh is None:
            continue
        facts = facts or _facts(site, dataset.result)
        with guarded(item, registry, "weigh"):
            said = list(check.weigh(facts))
        found.judge(item, checking.found(item, registry, said, check.weigh))
    found.raise_errors()
    if not found.totals["warning"]:
        return dataset
    result = dataset.result
    more = replace(
        result,
        findings=(*result.findings, *found.bounded()),
        findings_total=result.findings_total + found.totals["warning"],
    )
    return replace(dataset, result=more)


def _facts(site: Site, result: DataResult) -> Weighed:
    size = result.size
    part = _cost(site, result)
    bytes_of = {file.purpose: file.bytes for file in result.files}
    return Weighed(
        rows=size.rows, validation_rows=size.validation_rows, bytes=size.bytes,
        validation_bytes=bytes_of.get("validation"), tokens=size.tokens, trained_tokens=size.trained_tokens,
        epochs=epochs(site.target.request),
        cost=part.amount, currency=part.currency, bound=part.bound, basis=part.basis,
    )  # fmt: skip


def _cost(site: Site, result: DataResult) -> Part:
    """What tuning costs: as the plan reckons it, whatever is cached."""
    estimate = site.provider.estimate(site.target.request, result.size)
    return tuning_part(site.tables, site.target.endpoint, site.target.request, result.size, estimate, name="tuning")
