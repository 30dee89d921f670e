"""Which base model of another tuner corresponds to one: the same weights, or one of the same class as a suggestion."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ftspec.common.records import Record
from ftspec.document import document

TABLE = Path(__file__).with_name("nearest.yaml")


class Nearest(Record):
    """What a model may be at another tuner.

    `model` is "" where nothing corresponds. `same`: it is the same model, by another name or by the same one; else it
    is one of the same class, `others` are more of them, and `why` says what they have in common. `looked_up`: whether
    somebody has read so on the page that `source` names.
    """

    model: str
    same: bool = False
    others: tuple[str, ...] = ()
    why: str = ""
    source: str = ""
    as_of: str = ""
    looked_up: bool = True


class _Same(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    names: dict[str, str]
    source: str
    looked_up: bool


class _Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    size: str
    source: str
    looked_up: bool
    models: dict[str, list[str]]


class Models(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table of models, as `nearest.yaml` holds it."""

    as_of: datetime.date
    any: list[str]
    same: list[_Same]
    tiers: list[_Tier]

    def find(self, model: str, source: str, target: str) -> Nearest:
        """What `model` of the tuner `source` may be at `target`."""
        if target in self.any or (source in self.any and self._knows(target, model)):
            return Nearest(model=model, same=True)
        for entry in self.same:
            if entry.names.get(source) == model and target in entry.names:
                return self._said(entry.names[target], entry=entry, same=True, why=entry.name)
        at = next((at for at, tier in enumerate(self.tiers) if self._holds(tier.models, model, source)), None)
        if at is None:
            return Nearest(model="")
        known = [other for other, tier in enumerate(self.tiers) if tier.models.get(target)]
        near = min(known, key=lambda other: (abs(other - at), other), default=None)
        if near is None:
            return Nearest(model="")
        tier = self.tiers[near]
        first, *others = tier.models[target]
        said = (
            f"both are {tier.name}"
            if near == at
            else f"{self.tiers[at].name} there, {tier.name} here: the nearest class"
        )
        return self._said(first, others=tuple(others), entry=tier, why=f"{said} ({tier.size})")

    def _knows(self, tuner: str, model: str) -> bool:
        """Whether the tuner has a model of this name."""
        return any(model in tier.models.get(tuner, ()) for tier in self.tiers) or any(
            entry.names.get(tuner) == model for entry in self.same
        )

    def _holds(self, models: Mapping[str, list[str]], model: str, source: str) -> bool:
        """Whether a tier knows the model, of a tuner that takes any name under whichever tuner's name."""
        listed = models.values() if source in self.any else [models.get(source, [])]
        return any(model in names for names in listed)

    def _said(
        self, model: str, *, entry: _Same | _Tier, same: bool = False, others: tuple[str, ...] = (), why: str
    ) -> Nearest:
        return Nearest(
            model=model, same=same, others=others, why=why, source=entry.source, as_of=self.as_of.isoformat(),
            looked_up=entry.looked_up,
        )  # fmt: skip


def read() -> Models:
    """The table that comes with ftspec."""
    return msgspec.convert(document.load(TABLE).data, Models)
