"""The spec's steps as an engine takes them: each with its account in the ledger, cut into segments at global steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

from ftspec.data.cleaning import Stage
from ftspec.data.ledger import Ledger
from ftspec.data.segments import Segment
from ftspec.items import Tuned, shape_of
from ftspec.layout.shapes import Shape
from ftspec.registry import Registry
from ftspec.spec import Item, Spec, Split

ALWAYS: dict[Shape, tuple[str, ...]] = {
    "chat": ("format", "limits", "long_rows", "images"),
    "preference": ("format", "limits", "long_rows", "images", "pairs"),
    "reinforcement": ("format", "limits", "long_rows", "images"),
}
"""Checks that run whether the spec names them or not."""


def checks_of(spec: Spec, registry: Registry) -> tuple[Item, ...]:
    """The checks that always run and those that the spec names, in the order in which they are judged."""
    named = {item.name for item in spec.checks}
    always = (Item(kind="check", name=name) for name in ALWAYS[shape_of(spec, registry)] if name not in named)
    return (*always, *spec.checks)


def open_stages(
    cleaning: tuple[Item, ...], form: Item | None, registry: Registry, ledger: Ledger, prefix: str = ""
) -> tuple[list[Stage], Stage | None]:
    """The cleaning steps and the format, each with its account in the ledger.

    No text that a step with `private` may remove later is kept: see `Stage.shown`.
    """
    private = [at for at, item in enumerate(cleaning) if registry.get(item.kind, item.name).private]
    last = max(private, default=-1)
    stages = [
        Stage(item=item, index=ledger.step(f"{prefix}{item.id or item.name}"), shown=_texts_shown(at, last))
        for at, item in enumerate(cleaning)
    ]
    return stages, Stage(item=form, index=ledger.step(f"{prefix}{form.name}")) if form else None


def _texts_shown(at: int, last_private: int) -> Literal["both", "after", "none"]:
    return "both" if at > last_private else "after" if at == last_private else "none"


def may_skip(stages: Sequence[Stage], form: Stage | None, registry: Registry) -> set[int]:
    """Accounts of the steps whose failures are set aside: those that fail on single rows, and the format."""
    opened = [stage for stage in stages if registry.get("cleaner", stage.item.name).level in ("row", "batch")]
    opened += [form] if form else []
    return {stage.index for stage in opened if stage.item.on_error == "skip"}


class Cutter:
    """Cuts stages into segments of one spec's data step."""

    def __init__(self, spec: Spec, registry: Registry, tuned: Tuned) -> None:
        self.spec, self.registry, self.tuned = spec, registry, tuned
        self.shape, self.checks = shape_of(spec, registry), checks_of(spec, registry)

    def of_rows(self, stages: Sequence[Stage], form: Stage | None) -> tuple[list[Segment], Segment]:
        """(segments that end with the keys of global steps, the last one, which formats). The first one splits."""
        made: list[Segment] = []
        split: Split | None = self.spec.split
        waiting: tuple[Stage, ...] = ()
        for is_global, group in groupby(stages, key=self._is_global):
            if not is_global:
                waiting = tuple(group)
                continue
            made.append(
                Segment(self.spec.folder, self.registry, waiting, split=split, keys=tuple(group), tuned=self.tuned)
            )
            waiting, split = (), None
        asked = self.spec.eval.prompts if self.spec.eval else ()
        sides = tuple(name for name in asked if isinstance(name, str))
        return made, self._last(waiting, form, sides, split)

    def of_prompts(self, stages: Sequence[Stage], form: Stage | None) -> Segment:
        """The one segment that the evaluation's own rows go through: no global step sees them."""
        return self._last(tuple(stages), form, ("prompt",), None)

    def _is_global(self, stage: Stage) -> bool:
        return self.registry.get(stage.item.kind, stage.item.name).level == "global"

    def _last(
        self, stages: tuple[Stage, ...], form: Stage | None, sides: tuple[str, ...], split: Split | None
    ) -> Segment:
        return Segment(
            self.spec.folder, self.registry, stages,
            split=split, form=form, shape=self.shape, checks=self.checks, prompt_sides=sides, last=True,
            tuned=self.tuned,
        )  # fmt: skip
