"""The data step by itself: take what the store has of it, or make it, to be kept or only to be measured."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ftspec.common.jobs import DataFile
from ftspec.common.messages import Prompt
from ftspec.common.records import Record, Step
from ftspec.common.references import secret_names
from ftspec.data import cases, pipeline
from ftspec.data.pipeline import How
from ftspec.data.prompts import load_prompts
from ftspec.files import ondisk
from ftspec.plans import inventory
from ftspec.plans.dataresult import DataResult
from ftspec.plans.inventory import file_hash
from ftspec.plans.stepkeys import Made
from ftspec.problems import located
from ftspec.run.site import Site, step_key
from ftspec.spec import Spec
from ftspec.state.journal import decode

PROMPTS, ROWS, ORIGINS = "prompts.jsonl", "rows.arrow", "origins.arrow"


class Dataset(Record):
    """What the data step made, as the store keeps it: `files` maps a file's name to its blob."""

    files: dict[str, str]
    result: DataResult

    @property
    def made(self) -> Made:
        of = {file.purpose: file.sha256 for file in self.result.files}
        return Made(training=of["training"], validation=of.get("validation", ""), prompts=self.files.get(PROMPTS, ""))


def cached(site: Site, step: Step) -> Dataset | None:
    """What the data step made when it last ran with this digest."""
    if "data" in site.options.again:
        return None
    return decode(site.store, step_key(step), Dataset) if site.store.get(step_key(step)) else None


def secrets_note(spec: Spec) -> str:
    """What to say where kept data were made with a secret: no digest tells its value, so it may be another by now."""
    makes = [item.options for _, item in spec.items() if item.kind in {"cleaner", "format", "check"}]
    names = ", ".join(sorted(secret_names(makes)))
    return f"the data are kept from an earlier run: if {names} has changed, use --again data" if names else ""


def make(site: Site, step: Step) -> Dataset:
    """Run the data pipeline and keep what it makes."""
    with site.workspace.scratch() as folder:
        result = prepare(site, folder)
        inventory.check_unchanged(site.inventory, site.spec.folder)
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        known = {Path(file.path).name: file.sha256 for file in result.files} | {ROWS: result.rows_sha256}
        files = {name: site.store.take_file(folder / name, known.get(name, "")) for name in names}
        dataset = Dataset(files=files, result=result)
    site.store.put(step_key(step), msgspec.json.encode(dataset))
    return dataset


def prepare(site: Site, folder: Path) -> DataResult:
    """Run the data pipeline into a folder."""
    request = site.target.request
    how = How(memory=site.options.memory, cache=_cache(site))
    with located(site.document):
        return pipeline.prepare(site.spec, site.registry, site.provider, request, folder, site.progress, how)


def _cache(site: Site) -> str:
    """The folder of the cache. A plan makes no state folder: it uses the cache where there is one already."""
    wanted = site.options.cache and "data" not in site.options.again
    return str(site.workspace.cache) if wanted and site.workspace.local.exists() else ""


@contextmanager
def measured(site: Site) -> Iterator[tuple[Dataset, Path]]:
    """What the data step would make, and the folder of the system's where it is, which is thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix="ftspec-plan-") as name:
        folder = Path(name)
        result = prepare(site, folder)
        yield Dataset(files={path.name: file_hash(path) for path in folder.glob(PROMPTS)}, result=result), folder


def files(site: Site, dataset: Dataset) -> list[DataFile]:
    """The provider's files, where this machine can read them."""
    return [
        msgspec.structs.replace(file, path=str(site.store.local(file.sha256, Path(file.path).name)))
        for file in dataset.result.files
    ]


def prompts_of(site: Site, dataset: Dataset) -> Sequence[Prompt]:
    """The evaluation's prompts."""
    if PROMPTS not in dataset.files:
        return []
    sha256 = dataset.files[PROMPTS]
    found = load_prompts(ondisk.check(site.store.local(sha256, PROMPTS), sha256).parent)
    return cases.marked(found, site.spec.eval)
