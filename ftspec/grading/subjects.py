"""Further models under test: what a spec's `eval.models` names, found and ready to be asked.

What tells one model's answers from another's is in `keys`: the same model asked the same prompts has the same answers,
whichever spec names it and however (by name, as another run's model), so they are asked once.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ftspec import items
from ftspec.common.errors import FtspecError, Problem, SpecError, StoreError
from ftspec.common.jobs import ModelRef, TunedModel
from ftspec.common.records import TUNING
from ftspec.contracts.provider import Provider
from ftspec.plans.plan import step_of
from ftspec.plans.stepkeys import CHECKPOINTS, model_keys
from ftspec.registry import Registry
from ftspec.spec import Item, Named, Spec
from ftspec.state import history
from ftspec.state.journal import Journal
from ftspec.state.workspace import FOLDER, Workspace
from ftspec.validation import validate

RUN_KEYS = ("endpoint", "model", "model.revision", "model content")


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One further model. `model` is None for checkpoints, which are known when the tuning has ended."""

    label: str
    provider: Provider
    keys: dict[str, str]
    model: ModelRef | TunedModel | None = None


def find(spec: Spec, registry: Registry, workspace: Workspace, provider: Provider) -> list[Subject]:
    """Every further model that the spec names. Raises SpecError for all runs that are not there or made no model."""
    found: list[Subject] = []
    problems: list[Problem] = []
    for index, named in enumerate(spec.eval.models if spec.eval else ()):
        place = ("eval", "models", index)
        with items.gathered(problems), items.placed((*place, "run") if named.run else place):
            found.append(_found(named, spec, registry, workspace, provider))
    if problems:
        raise SpecError(problems)
    return found


def _found(named: Named, spec: Spec, registry: Registry, workspace: Workspace, provider: Provider) -> Subject:
    if named.checkpoints:
        return Subject(label=named.label, provider=provider, keys={CHECKPOINTS: named.checkpoints})
    if named.run:
        return _of_run(named, spec, registry, workspace)
    if named.provider:
        provider = _attached(named.provider, spec.folder, registry, workspace)
    model = named.model or spec.model
    keys = {"endpoint": provider.endpoint} | model_keys(model, provider.fingerprint(model))
    return Subject(label=named.label, provider=provider, keys=keys, model=model)


def _last_of(file: Path, workspace: Workspace, *, default: Path) -> tuple[Workspace, str]:
    """A spec's last run: of the store that was named for all, where it has one; else of the one beside it."""
    if workspace.store.root != default.absolute():
        try:
            return history.locate(str(file), workspace.store.url, trains=True)[:2]
        except StoreError:
            raise
        except FtspecError:  # none there
            pass
    return history.locate(str(file), None, trains=True)[:2]


def _of_run(named: Named, spec: Spec, registry: Registry, workspace: Workspace) -> Subject:
    """A run's tuned model: of this store by its id, or of a spec file's last run, here or beside that file."""
    if named.run.endswith((".yaml", ".yml")):
        space, run = _last_of(spec.folder / named.run, workspace, default=spec.folder / FOLDER)
    else:
        space, run, _ = history.locate(named.run, workspace.store.url, trains=True)
    events = Journal(space.store, run).events()
    tuned, source = history.last(events, "tuned"), history.last(events, "started")
    if tuned is None or source is None:
        raise FtspecError(f"run {run} has no tuned model yet", f"see `ftspec status {run}`")
    theirs = validate.load_again(source["text"], Path(source["file"]), registry, source["sets"]).spec
    tuning = step_of(history.plan_of(run, events), TUNING)
    keys = {name: tuning.keys[name] for name in RUN_KEYS} | {"tuning": tuning.digest}
    if theirs.follow.checkpoint != "last":
        keys["follow.checkpoint"] = theirs.follow.checkpoint
    return Subject(
        label=named.label,
        provider=_attached(theirs.provider, theirs.folder, registry, space),
        keys=keys,
        model=msgspec.convert(tuned["model"], TunedModel),
    )


def _attached(item: Item, folder: Path, registry: Registry, workspace: Workspace) -> Provider:
    provider: Provider = items.build(item, registry, folder)
    provider.attach(workspace.home(item.name))
    return provider
