"""Fill the report's record from what a run knows, and keep the report with the run."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path

import msgspec

import ftspec
from ftspec import report
from ftspec.common.evaluation import Evaluation, Verdict
from ftspec.common.jobs import TunedModel
from ftspec.common.records import REPORT, TUNING, Plan, RunInfo, Step
from ftspec.costs.costs import Serving
from ftspec.installed import version
from ftspec.plans.plan import step_of
from ftspec.report import Case, Cases, ReportData
from ftspec.run import likeness
from ftspec.run.datastep import ORIGINS, ROWS, Dataset
from ftspec.run.site import Site, step_key
from ftspec.tuning import following
from ftspec.tuning.diagnosis import diagnose
from ftspec.validation.validate import Loaded


class Judged(msgspec.Struct, frozen=True):
    """What the evaluation came to; nothing where the spec has none."""

    evaluation: Evaluation | None = None
    verdicts: tuple[Verdict, ...] = ()
    cases: Cases = Cases()
    serving: tuple[Serving, ...] = ()


def cached(site: Site, step: Step) -> bool:
    """Whether a report of just these results has been written."""
    return "report" not in site.options.again and site.store.head(step_key(step)) is not None


def collect(
    site: Site,
    loaded: Loaded,
    plan: Plan,
    run: RunInfo,
    dataset: Dataset,
    model: TunedModel | None,
    judged: Judged,
) -> ReportData:
    """Everything that the report shows."""
    spec, request, result = site.spec, site.target.request, dataset.result
    digests = {step.name: step.digest for step in plan.steps}
    estimate = site.provider.estimate(request, result.size)
    return ReportData(
        name=spec.name,
        run=run,
        ftspec=ftspec.__version__,
        spec=spec.file.name,
        spec_sha256=hashlib.sha256("\n".join(loaded.document.lines).encode()).hexdigest(),
        plan=plan,
        watermark=estimate.watermark,
        verdicts=judged.verdicts,
        evaluation=judged.evaluation,
        generation=spec.eval.generation if spec.eval else None,
        cases=_with_nearest_rows(site, dataset, judged.cases.kept),
        cases_total=judged.cases.total,
        cases_failed=judged.cases.failed,
        serving=judged.serving,
        training=(told := tuple(following.history(site.store, digests[TUNING])) if model else ()),
        diagnosis=diagnose(told, site.target.request.hyperparameters),
        counts=result.counts,
        sides=result.sides,
        size=result.size,
        checks=tuple(item.id or item.name for item in spec.checks),
        findings=result.findings,
        findings_total=result.findings_total,
        provider=spec.provider.name,
        model=request.model,
        tuned=model,
        method=request.method,
        method_options=request.method_options,
        hyperparameters=request.hyperparameters,
        template=spec.template,
        data_digest=digests["data"],
        inputs=plan.inputs,
        versions=versions(site),
        digests=digests,
        estimate=estimate,
    )


def _with_nearest_rows(site: Site, dataset: Dataset, cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases, failed ones with the training rows that are most like them."""
    rows_at, origins_at = (site.store.local(dataset.files[name], name).parent for name in (ROWS, ORIGINS))
    return likeness.with_nearest(cases, rows_at, origins_at)


def write(site: Site, plan: Plan, data: ReportData) -> Path:
    """Write the report's files below the run and return the path of report.html on this machine."""
    folder = site.workspace.report_folder(plan.run)
    report.write(folder, data)
    site.workspace.share_report(plan.run)
    site.store.put(step_key(step_of(plan, REPORT)), b"{}")
    return folder / "report.html"


def versions(site: Site) -> dict[str, str]:
    """Versions of everything that had a part: Python, ftspec, the plugins and their declared dependencies."""
    found = {"python": platform.python_version(), "ftspec": ftspec.__version__}
    for _, item in site.spec.items():
        loaded = site.registry.components[item.kind][item.name]
        found[loaded.distribution] = loaded.version
        found |= {name: version(name) for name in loaded.component.wanted(item.options)}
    return found
