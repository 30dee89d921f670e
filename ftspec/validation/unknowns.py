"""Names that nobody knows, and keys that stand where they cannot: what was meant, and where they belong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import msgspec

from ftspec.common.errors import Problem, SpecPath
from ftspec.common.wording import either, every, nearest, quoted, suggestion, with_article
from ftspec.contracts.components import TITLES, Kind
from ftspec.installed import line
from ftspec.registry import Registry
from ftspec.validation.describing import Describer
from ftspec.validation.keys import KEYS, STAGES
from ftspec.validation.places import SIBLINGS, SPLIT_PROMPTS, place_of

FIRST_PARTY: dict[tuple[Kind, str], str] = {
    ("cleaner", "redact_names"): "ftspec-names",
    ("engine", "ray"): "ftspec-ray",
    ("provider", "azure"): "ftspec-openai",
    ("provider", "bedrock"): "ftspec-bedrock",
    ("provider", "bedrock-mantle"): "ftspec-openai",
    ("provider", "fireworks"): "ftspec-fireworks",
    ("provider", "local"): "ftspec-local",
    ("provider", "nebius"): "ftspec-openai",
    ("provider", "openai"): "ftspec-openai",
    ("provider", "openai-compatible"): "ftspec-openai",
    ("provider", "together"): "ftspec-together",
    ("provider", "vertex"): "ftspec-vertex",
}
"""Components that a first-party plugin offers, so that a spec can name them before it is installed."""

RATES = ("learning_rate", "learning_rate_multiplier")
LISTED = 12
"""Names that a hint lists at the most."""


class Unknowns:
    """Makes problems of such names.

    `found` collects those about names that nobody knows (what is not installed yet may know them). `slipped` holds the
    items of which an option stands beside the name, for want of an indent: what else is wrong with them follows.
    """

    def __init__(self, says: Describer) -> None:
        self.says = says
        self.found: list[Problem] = []
        self.slipped: set[SpecPath] = set()

    def unnamed(self, kind: Kind, name: str, path: SpecPath, on: Any) -> Problem:
        """A name that no component of the kind has, or that needs options."""
        offered = self.says.registry.components[kind]
        title = TITLES[kind]
        if name in offered:
            return self._noted(_needs(title, name, offered[name].component.options, path, on))
        message = f"no {title} named {quoted(name)} is installed"
        return self._noted(Problem(message=message, hint=whereabouts(kind, name, self.says.registry), path=path, on=on))

    def bare_method(self, name: str, path: SpecPath) -> Problem:
        """A method that the provider does not have, or one that needs options."""
        provider = self.says.provider()
        methods = self.says.registry.components["provider"][provider].component.methods
        if name not in methods:
            message = f"provider '{provider}' has no method {self.says.found(name, path, bare=True)}"
            return self._noted(Problem(message=message, hint=suggestion(name, [*methods]), path=path))
        return self._noted(_needs("method", name, methods[name].options, path, "value"))

    def key(self, key: str, known: Sequence[str], path: SpecPath) -> Problem:
        """A key beside `known` ones."""
        return self._noted(self._key(key, known, path))

    def _key(self, key: str, known: Sequence[str], path: SpecPath) -> Problem:
        name = quoted(key)
        if not path and key == STAGES:
            message = f"'{STAGES}' is reserved: chains of methods (sft, then dpo) cannot be run yet"
            return Problem(message=message, hint="write one spec per method", path=(key,), on="key")
        hint = suggestion(key, known, self._where_options(path) if len(known) > LISTED else None)
        if not path:
            homes = [kind for kind in SIBLINGS if key in self.says.registry.components[kind]]
            if homes:
                hint = f"it is {with_article(TITLES[homes[0]])}: indent it"
            elif key in self.says.hyperparameters():
                hint = "it belongs below `hyperparameters`"
            elif home := _home(key, KEYS):
                hint = f"it belongs below `{home}`"
            return Problem(message=f"unknown key {name}", hint=hint, path=(key,), on="key")
        if path == ("method",):
            message = f"provider '{self.says.provider()}' has no method {name}"
        elif path == ("hyperparameters",):
            message = f"unknown hyperparameter {name} of provider '{self.says.provider()}'"
            hint = _rate_hint(key, known) or hint
        else:
            message = f"unknown option {name} of {self.says.owner(path)}"
            place = place_of(path)
            if place and len(path) == place[1] + 1 and key in SIBLINGS[place[0]]:
                message = f"{name} is no option of {self.says.owner(path)}, but stands beside it"
                hint = f"write it in a line of its own, below the first letter of '{path[-1]}'"
        return Problem(message=message, hint=hint, path=(*path, key), on="key")

    def beside(self, kind: Kind, item: Mapping[str, Any], extras: list[str], path: SpecPath) -> Iterator[Problem]:
        """Keys of an item that are neither a component nor a sibling of one."""
        offered = self.says.registry.components[kind]
        present = [key for key in item if key in offered]
        for key in extras:
            if not present:
                yield self.unnamed(kind, key, (*path, key), "key")
                continue
            name = present[0]
            if key in offered[name].component.options.__struct_fields__:
                self.slipped.add((*path, name))
                message = f"'{key}' is an option of '{name}', but stands beside it"
                yield Problem(message=message, hint=f"indent it below `{name}:`", path=(*path, key), on="key")
            elif SIBLINGS[kind]:
                hint = f"only {either([*SIBLINGS[kind]])} can stand there; {suggestion(key, [*SIBLINGS[kind]], '')}"
                message = f"unknown key {quoted(key)} beside {TITLES[kind]} '{name}'"
                yield self._noted(Problem(message=message, hint=hint.removesuffix("; "), path=(*path, key), on="key"))
            else:
                message = f"unknown key {quoted(key)} beside {TITLES[kind]} '{name}'"
                hint = f"options go below `{name}:`"
                yield self._noted(Problem(message=message, hint=hint, path=(*path, key), on="key"))

    def second_component(self, path: SpecPath) -> Iterator[Problem]:
        """An item that names several components."""
        place = place_of(path)
        kind: Kind = place[0] if place else "source"
        item = self.says.document.data
        for part in path:
            item = item[part]
        names = [key for key in item if key in self.says.registry.components[kind] or key == SPLIT_PROMPTS]
        for key in names[1:]:
            message = f"two in one item: {TITLES[kind]} '{names[0]}' and '{key}'"
            hint = "probably an indentation slip: start the second with '- '" if path[-1:] != (kind,) else "keep one"
            yield Problem(message=message, hint=hint, path=(*path, key), on="key")

    def _where_options(self, path: SpecPath) -> str:
        """The command that lists what can stand at a place."""
        if path[:1] in {("method",), ("hyperparameters",)}:
            return f"see `ftspec plugins show {self.says.provider()}`"
        place = place_of(path)
        name = path[place[1]] if place and len(path) > place[1] else None
        return f"see `ftspec plugins show {name}`" if name else "see `ftspec schema --format markdown`"

    def _noted(self, problem: Problem) -> Problem:
        self.found.append(problem)
        return problem


def _home(key: str, properties: Mapping[str, Any], place: str = "") -> str:
    """Below which of core's own keys this one stands: `eval`, `eval.generation`; "" where it is none of theirs."""
    for name, schema in properties.items():
        below = schema.get("properties", {})
        if key in below:
            return f"{place}{name}"
        if found := _home(key, below, f"{place}{name}."):
            return found
    return ""


def whereabouts(kind: Kind, name: str, registry: Registry) -> str:
    """What may have been meant by a name that is not installed, or what to install."""
    plugin = FIRST_PARTY.get((kind, name))
    if plugin:
        return line(plugin)
    near = nearest(name, [*registry.components[kind]])
    if near:
        return f"did you mean '{near}'?"
    others = [other for other in SIBLINGS if name in registry.components[other]]
    if others:
        return f"'{name}' is {with_article(TITLES[others[0]])}"
    ending = PurePath(name).suffix.removeprefix(".")
    if kind == "source" and ending in registry.components[kind]:
        return f"write `{ending}: {{path: {name}}}`"
    near_plugin = nearest(name, [known for of, known in FIRST_PARTY if of == kind])
    if near_plugin:
        return f"did you mean '{near_plugin}'? It needs `{line(FIRST_PARTY[kind, near_plugin])}`"
    installed = ", ".join(sorted(registry.components[kind])[:LISTED])
    return f"there are {installed}" if installed else "see `ftspec plugins`"


def _needs(title: str, name: str, options: type[msgspec.Struct], path: SpecPath, on: Any) -> Problem:
    """A bare name that is not enough."""
    needed = [field.encode_name for field in msgspec.structs.fields(options) if field.required]
    example = ", ".join(f"{option}: ..." for option in needed)
    message = f"{title} '{name}' needs {every(needed)}"
    return Problem(message=message, hint=f"write `{name}: {{{example}}}`", path=path, on=on)


def _rate_hint(key: str, known: Sequence[str]) -> str:
    """The two learning rates are different quantities: one must never be taken for the other."""
    other = RATES[1 - RATES.index(key)] if key in RATES else ""
    if other not in known or not other:
        return ""
    meaning = {"learning_rate": "an absolute rate", "learning_rate_multiplier": "a factor on the provider's own rate"}
    return f"it takes '{other}', which is {meaning[other]}: choose a value anew"
