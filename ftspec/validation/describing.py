"""What the parts of a spec are called in messages, and what stands there, in words."""

from __future__ import annotations

from typing import Any

import msgspec

from ftspec.common.errors import SpecPath
from ftspec.common.references import SECRET
from ftspec.common.wording import SHOWN, plain, quoted
from ftspec.contracts.components import TITLES, Kind
from ftspec.document.document import Document
from ftspec.registry import Registry
from ftspec.validation.places import SIBLINGS, place_of


class Describer:
    """The words for one document, given what is installed."""

    def __init__(self, document: Document, registry: Registry) -> None:
        self.document, self.registry = document, registry

    def label(self, path: SpecPath) -> str:
        """What stands at the path."""
        if not path:
            return "the spec"
        if isinstance(path[-1], int):
            return f"item {path[-1] + 1} of {self.label(path[:-1])}"
        return quoted(path[-1])

    def subject(self, path: SpecPath) -> str:
        """The same, where the value has a type: of a component, its options."""
        owner = self.owner(path)
        return owner if owner == self.label(path) else f"the options of {owner}"

    def owner(self, path: SpecPath) -> str:
        """Whose options these are."""
        place = place_of(path)
        if place and len(path) == place[1] + 1 and path[-1] not in SIBLINGS[place[0]]:
            return f"{TITLES[place[0]]} {quoted(str(path[-1]))}"
        if path[:1] == ("method",) and len(path) == 2:
            return f"method '{path[1]}'"
        return self.label(path)

    def found(self, value: Any, path: SpecPath, *, bare: bool = False) -> str:
        """What stands there, in words; never a value from the environment, nor a long one."""
        if path in self.document.written or (isinstance(value, str) and SECRET.search(value)):
            return f"'{self.document.written.get(path, value)}'"[: SHOWN + 2]
        if isinstance(value, str):
            return quoted(value) if bare or value else "an empty text"
        if isinstance(value, dict | list):
            return "a list" if isinstance(value, list) else "keys with values"
        return "nothing" if value is None else plain(value)

    def example(self, kind: Kind) -> str:
        """How an item of this kind is written."""
        offered = self.registry.components[kind]
        name = min(offered, key=lambda name: (offered[name].distribution != "ftspec", name), default="name")
        return f"{name}: {{}}" if kind in {"provider", "format", "engine"} else f"- {name}: {{...}}"

    def hyperparameters(self) -> set[str]:
        """Those of all methods of the spec's provider."""
        loaded = self.registry.components["provider"].get(self.provider())
        methods = loaded.component.methods.values() if loaded else ()
        return {field.encode_name for one in methods for field in msgspec.structs.fields(one.hyperparameters)}

    def provider(self) -> str:
        """The name of the spec's provider, "" where there is none."""
        provider = self.document.data.get("provider")
        return provider if isinstance(provider, str) else next(iter(provider), "") if provider else ""
