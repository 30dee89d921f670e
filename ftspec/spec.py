"""The spec as frozen records: what `reading.to_spec` makes of a sound document and every later room reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from ftspec.common.errors import SpecPath
from ftspec.common.jobs import ModelRef
from ftspec.common.messages import Generation
from ftspec.contracts.components import Kind


class Waiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a check's findings are accepted, by whom, and until when (ISO date): an expired waiver fails."""

    reason: str
    owner: str
    until: str


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One component as the spec names it. `options` is as written (secrets still as `${secret:NAME}`), `path` where.

    Relative paths in `options` stay relative: `inventory.build` makes them absolute.
    """

    kind: Kind
    name: str
    options: dict[str, Any] = {}
    id: str = ""
    weight: float = 1.0
    negate: bool = False
    severity: str = "error"
    on_error: str = "fail"
    waive: Waiver | None = None
    as_is: bool = False
    read_as: str = "auto"
    path: SpecPath = ()


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """How rows are divided. A number is a share (0..1) of rows by content hash; a string names a source's `id`."""

    validation: float | str = 0.0
    test: float | str = 0.0
    seed: int = 0
    by: str = ""


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """How the sources are mixed by their weights. `until` is what ends the mixture, or how many rows it has."""

    seed: int = 0
    until: str | int = "first_exhausted"


class EarlyStopping(msgspec.Struct, frozen=True, kw_only=True):
    """When to end a job early: `patience` values of `metric` in a row, none at least `min_delta` below the best one."""

    metric: Literal["validation_loss", "train_loss"] = "validation_loss"
    patience: int = 3
    min_delta: float = 0.0


class Following(msgspec.Struct, frozen=True, kw_only=True):
    """How the job is followed: seconds without a sign of life after which it is left, when it is ended early, and
    which of its checkpoints is the model."""

    stall: float = 24 * 3600.0
    early_stopping: EarlyStopping | None = None
    checkpoint: Literal["last", "best"] = "last"


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A further model that answers: another one by name, the model of an earlier run, or checkpoints of this run.

    Args:
        id: what reports call it; `label` where it is not given.
        model, provider: a model by name, of another provider than the spec's where that is given.
        run: a run's id or the beginning of one, or a spec file relative to this one (its last run).
        checkpoints: of this run's job: all of them, or the one that the evaluation finds best.
    """

    id: str = ""
    model: ModelRef | None = None
    provider: Item | None = None
    run: str = ""
    checkpoints: Literal["", "all", "best"] = ""

    @property
    def label(self) -> str:
        if self.checkpoints:
            return self.id or ("best checkpoint" if self.checkpoints == "best" else "checkpoint")
        return self.id or self.run or (self.model.id if self.model else "")


class Eval(msgspec.Struct, frozen=True, kw_only=True):
    """What the models are asked and how answers are graded. A prompt is a source Item, or the name of a split.

    `tags`, `weight` and `asserts` name columns of the prompts' rows: see ftspec.data.cases.
    """

    prompts: tuple[Item | str, ...]
    graders: tuple[Item, ...]
    models: tuple[Named, ...] = ()
    generation: Generation = Generation()
    repeat: int = 1
    seed: int = 0
    tags: tuple[str, ...] = ()
    weight: str = ""
    asserts: str = ""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What tuning and evaluation of one run may cost together, and what an unknown price means."""

    max: float
    when_unknown: Literal["refuse", "allow"]
    currency: str = "USD"


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Tables of prices (paths relative to the spec), and the larger model that serving is compared with."""

    prices: tuple[str, ...] = ()
    larger: str = ""
    larger_at: str = ""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """One validated spec. `folder` is what its relative paths start from; `secrets` are the names it refers to."""

    version: int
    name: str
    folder: Path
    file: Path
    sources: tuple[Item, ...]
    provider: Item
    model: ModelRef
    requires: tuple[str, ...] = ()
    cleaning: tuple[Item, ...] = ()
    format: Item | None = None
    split: Split = Split()
    mix: Mix | None = None
    checks: tuple[Item, ...] = ()
    method: str = "sft"
    method_options: dict[str, Any] = {}
    hyperparameters: dict[str, Any] = {}
    follow: Following = Following()
    eval: Eval | None = None
    gates: tuple[Item, ...] = ()
    engine: Item | None = None
    budget: Budget | None = None
    costs: Costs = Costs()
    secrets: tuple[str, ...] = ()

    @property
    def template(self) -> dict[str, Any]:
        """The format's name and options as written: what training, evaluation and serving share."""
        return {self.format.name: self.format.options} if self.format else {}

    def items(self) -> Iterator[tuple[str, Item]]:
        """Every item with its place in the spec, e.g. "cleaning[2]"."""
        lists: dict[str, Sequence[Item | str]] = {
            "sources": self.sources,
            "cleaning": self.cleaning,
            "checks": self.checks,
            "eval.prompts": self.eval.prompts if self.eval else (),
            "eval.graders": self.eval.graders if self.eval else (),
            "gates": self.gates,
        }
        for name, entries in lists.items():
            yield from ((f"{name}[{index}]", item) for index, item in enumerate(entries) if isinstance(item, Item))
        for index, named in enumerate(self.eval.models if self.eval else ()):
            if named.provider:
                yield f"eval.models[{index}].provider", named.provider
        for name, item in {"format": self.format, "provider": self.provider, "engine": self.engine}.items():
            if item:
                yield name, item
