"""What the data step left, opened to be looked at: of a spec, of a run, of a folder, of a git revision."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ftspec.common.errors import DataError, Finding, FtspecError
from ftspec.common.progress import Progress
from ftspec.common.records import DATA
from ftspec.data.spool import RowsFile
from ftspec.plans.plan import step_of
from ftspec.registry import Registry
from ftspec.run import datastep
from ftspec.run.datastep import Dataset
from ftspec.run.site import Options, Site, plan_of, survey
from ftspec.state import history
from ftspec.state.journal import Journal, decode
from ftspec.state.store import Store
from ftspec.validation import validate


class Prepared(msgspec.Struct, frozen=True):
    """A folder with the finished rows, the ledger and the origins (see ftspec.data.pipeline), and what to call it."""

    folder: Path
    label: str
    findings: tuple[Finding, ...] = ()
    """What was found in the data."""


@contextlib.contextmanager
def of_spec(
    file: Path, registry: Registry, options: Options, progress: Progress, label: str = ""
) -> Iterator[Prepared]:
    """The data of a spec, also where they cannot be used: the last run's when nothing has changed since, and else
    prepared in a scratch folder."""
    loaded = validate.load_spec(file, registry)
    with of_site(survey(loaded, registry, options, progress), faulty=True) as found:
        yield msgspec.structs.replace(found, label=label or str(file))


@contextlib.contextmanager
def of_site(site: Site, *, faulty: bool = False) -> Iterator[Prepared]:
    """The same of a spec that has been loaded already. With `faulty` also data that cannot be used."""
    step = step_of(plan_of(site), DATA)
    dataset = datastep.cached(site, step)
    if dataset is not None:
        with _linked(site.store, dataset) as folder:
            yield Prepared(folder, str(site.spec.file), dataset.result.findings)
        return
    with tempfile.TemporaryDirectory(prefix="ftspec-data-") as scratch:
        try:
            findings = datastep.prepare(site, Path(scratch)).findings
        except DataError as error:
            if not (faulty and error.counts):
                raise
            findings = error.findings
        yield Prepared(Path(scratch), str(site.spec.file), findings)


@contextlib.contextmanager
def of_run(target: str, store: str | None) -> Iterator[Prepared]:
    """The data that a run was made of. Raises FtspecError where it has not come so far, or they are gone."""
    space, run, _ = history.locate(target, store)
    made = history.last(Journal(space.store, run).events(), "data_made")
    key = f"steps/{made['digest']}" if made else ""
    if not key or not space.store.get(key):
        raise FtspecError(f"run {run} has no data that can be looked at", "name a run that has prepared its data")
    with _linked(space.store, decode(space.store, key, Dataset)) as folder:
        yield Prepared(folder, run)


@contextlib.contextmanager
def of_revision(
    revision: str, spec: Path, registry: Registry, options: Options, progress: Progress
) -> Iterator[Prepared]:
    """The data of a spec as a git revision has it, with the files of that revision, in a scratch folder.

    Files that git does not track are not there. Raises FtspecError for what git cannot give.
    """
    top = Path(_git(spec.parent, "rev-parse", "--show-toplevel"))
    commit = _git(top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", what=f"no revision '{revision}'")
    inside = (spec.parent.resolve() / spec.name).relative_to(top.resolve())
    with tempfile.TemporaryDirectory(prefix="ftspec-revision-") as scratch:
        file = _unpacked(top, commit, Path(scratch)) / inside
        if not file.exists():
            raise FtspecError(f"revision {revision} has no {inside}", "name the spec as that revision calls it")
        own = msgspec.structs.replace(options, store=f"{scratch}/.ftspec-store")
        with of_spec(file, registry, own, progress, f"{revision} ({commit[:10]})") as found:
            yield found


@contextlib.contextmanager
def named(target: str, registry: Registry, options: Options, progress: Progress) -> Iterator[Prepared]:
    """What a person names: a prepared folder, a spec, or a run."""
    path = Path(target)
    if (path / RowsFile.NAME).exists():
        yield Prepared(path, target)
    elif path.is_file():
        with of_spec(path, registry, options, progress) as found:
            yield found
    else:
        _check_run(path, target, options)
        with of_run(target, options.store) as found:
            yield found


def _check_run(path: Path, target: str, options: Options) -> None:
    """Raise FtspecError for a folder that holds no rows, unless a run is called like it."""
    try:
        history.locate(target, options.store)
    except FtspecError as error:
        if not path.is_dir():
            raise FtspecError(error.message, f"{error.hint}; a git revision takes --spec") from error
        hint = "name a run, a spec or such a folder; what `ftspec data export` writes is not one"
        raise FtspecError(f"{target} holds no {RowsFile.NAME}, which the data step leaves", hint) from error


@contextlib.contextmanager
def _linked(store: Store, dataset: Dataset) -> Iterator[Path]:
    """A folder in which the dataset's files have their names."""
    with tempfile.TemporaryDirectory(prefix="ftspec-data-") as scratch:
        for name, digest in dataset.files.items():
            (Path(scratch) / name).symlink_to(store.local(digest, name).absolute())
        yield Path(scratch)


def _git(folder: Path, *arguments: str, what: str = "", index: Path | None = None) -> str:
    """What git prints. `index` is a file to use as its index, in place of the repository's own."""
    own = {**os.environ, "GIT_INDEX_FILE": str(index)} if index else None
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, env=own)
    except subprocess.CalledProcessError as error:
        said = what or next(reversed(error.stderr.strip().splitlines()), "git failed")
        raise FtspecError(said, "name a commit, branch or tag of the repository that holds the spec") from error
    except OSError as error:
        if not folder.is_dir():
            raise FtspecError(f"there is no folder {folder}", "name a spec that is there") from error
        missing = isinstance(error, FileNotFoundError)
        message = "git is not installed" if missing else f"git cannot be run: {error.strerror}"
        raise FtspecError(message, "revisions are compared with git's help") from error
    return done.stdout.strip()


def _unpacked(top: Path, commit: str, scratch: Path) -> Path:
    """A folder with all files of the revision, links as they are, as a checkout makes it. The repository is only read:
    an index of our own says what to write, and no attribute for archives (`export-ignore`) leaves a file out."""
    index, tree = scratch / "index", scratch / "tree"
    tree.mkdir()
    _git(top, "read-tree", commit, index=index)
    _git(top, "checkout-index", "--all", "--quiet", f"--prefix={tree.resolve()}/", index=index)
    return tree
