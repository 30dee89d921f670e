"""What columns of a prompt's row say about it as a case: its tags, its weight, and graders of its own.

They are read when prompts are loaded and not kept in their file: naming a column asks nothing again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ftspec import items
from ftspec.common.errors import FtspecError
from ftspec.common.messages import Prompt
from ftspec.common.references import secret_names
from ftspec.common.wording import did_you_mean
from ftspec.contracts.graders import Grader, Judge
from ftspec.files.kept import Lazy, Picked
from ftspec.registry import Registry
from ftspec.spec import Eval, Item, Spec
from ftspec.validation import reading
from ftspec.validation.places import SIBLINGS

VALIDATION = "validation"
"""The tag, or a column's value, of prompts that choose the best checkpoint and are not reported on for it."""

LIGHTEST, HEAVIEST = 1e-6, 1e6
"""Weights of prompts, beside 0: what is far beyond adds nothing, or takes all, and its square may be no number."""

Fault = tuple[str, str]
"""(message, hint)."""
NOT_HERE = "rows do not say where answers and keys are sent: name the provider, with the same options, in the spec"


class Marked(Lazy[Prompt]):
    """Prompts with their tags and weights, each made when it is asked for."""

    def __init__(self, prompts: Sequence[Prompt], evaluation: Eval) -> None:
        self.prompts, self.evaluation = prompts, evaluation

    def __len__(self) -> int:
        return len(self.prompts)

    def at(self, index: int) -> Prompt:
        return _mark(self.prompts[index], self.evaluation)


def columns(evaluation: Eval | None) -> set[str]:
    """The columns that it names."""
    return {*evaluation.tags, evaluation.weight, evaluation.asserts} - {""} if evaluation else set()


def marked(prompts: Sequence[Prompt], evaluation: Eval | None) -> Sequence[Prompt]:
    """The prompts as the columns say that `eval.tags` and `eval.weight` name."""
    return Marked(prompts, evaluation) if evaluation and (evaluation.tags or evaluation.weight) else prompts


def for_choosing(prompts: Sequence[Prompt]) -> Sequence[Prompt]:
    """The prompts by which one of several checkpoints is chosen: those with the tag `validation`, where others are left
    to report on; else all, as they are."""
    places = [
        place
        for place, prompt in enumerate(prompts)
        if any(tag.rpartition("=")[2] == VALIDATION for tag in prompt.tags)
    ]
    return Picked(prompts, places) if 0 < len(places) < len(prompts) else prompts


def _mark(prompt: Prompt, evaluation: Eval) -> Prompt:
    tags = [tag for column in evaluation.tags for tag in tags_of(column, prompt.row.get(column))]
    weight = prompt.row.get(evaluation.weight) if evaluation.weight else None
    return msgspec.structs.replace(
        prompt, tags=(*prompt.tags, *tags), weight=prompt.weight if weight is None else float(weight)
    )


def tags_of(column: str, value: Any) -> list[str]:
    """A list's entries are tags; any other value makes the tag `column=value`, null and "" none."""
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return [] if value is None or value == "" else [f"{column}={_plain(value)}"]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()


def graders(prompts: Sequence[Prompt], spec: Spec, registry: Registry) -> dict[str, list[tuple[Item, Grader | Judge]]]:
    """The graders of each prompt that has its own (in the column `eval.asserts`), by its id; equal ones are built once.

    Raises FtspecError for what is no grader: data that were kept before the column was named were not looked at so.
    """
    column = _column(spec)
    built: dict[bytes, tuple[Item, Grader | Judge]] = {}
    found: dict[str, list[tuple[Item, Grader | Judge]]] = {}
    for prompt in prompts if column else ():
        for value in _values(prompt.row.get(column)):
            key = msgspec.json.encode(value, order="sorted")
            if key not in built:
                item = _grader(value, prompt, spec, registry)
                built[key] = (item, items.build(item, registry, spec.folder))
            found.setdefault(prompt.id, []).append(built[key])
    return found


def judges(prompts: Sequence[Prompt], spec: Spec, registry: Registry) -> Iterator[tuple[Prompt, Judge]]:
    """The graders of single prompts that ask a model, each with its prompt; equal ones are built once, without secrets.

    Raises FtspecError as `graders` does.
    """
    column = _column(spec)
    built: dict[bytes, Grader | Judge | None] = {}
    for prompt in prompts if column else ():
        for value in _values(prompt.row.get(column)):
            key = msgspec.json.encode(value, order="sorted")
            if key not in built:
                item = _grader(value, prompt, spec, registry)
                asks = any(items.references(item, registry.get(item.kind, item.name)))
                built[key] = items.build(item, registry, spec.folder, secrets=False) if asks else None
            judge = built[key]
            if isinstance(judge, Judge):
                yield prompt, judge


def _column(spec: Spec) -> str:
    return spec.eval.asserts if spec.eval else ""


def _grader(value: Any, prompt: Prompt, spec: Spec, registry: Registry) -> Item:
    if fault := _grader_fault(value, spec, registry):
        raise FtspecError(f"{prompt.origin}: column '{_column(spec)}': {fault[0]}", fault[1])
    item = reading.as_item(value, "grader", ())
    assert item is not None
    return item


def faults(prompt: Prompt, spec: Spec, registry: Registry) -> Iterator[Fault]:
    """What is wrong with what the columns hold."""
    evaluation = spec.eval
    if evaluation and evaluation.weight:
        weight = prompt.row.get(evaluation.weight, 1)
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not (weight == 0 or LIGHTEST <= weight <= HEAVIEST):
            text = f"; of a table say `types: {{{evaluation.weight}: number}}`" if isinstance(weight, str) else ""
            hint = f"write a number: 0, or from {LIGHTEST:g} to {HEAVIEST:,.0f}{text}"
            yield f"column '{evaluation.weight}' is the prompt's weight, and is {_plain(weight)[:60]}", hint
    if evaluation and evaluation.asserts:
        value = prompt.row.get(evaluation.asserts)
        if value is not None and not isinstance(value, list):
            yield f"column '{evaluation.asserts}' is no list of graders", "write it as `eval.graders` is written"
        for entry in _values(value):
            if fault := _grader_fault(entry, spec, registry):
                yield f"column '{evaluation.asserts}': {fault[0]}", fault[1]
        if not evaluation.graders and not _values(value):
            yield "nothing grades the answers to this prompt", f"fill column '{evaluation.asserts}', or add graders"


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _grader_fault(value: Any, spec: Spec, registry: Registry) -> Fault | None:
    """Why a value is no grader of one prompt alone."""
    item = reading.as_item(value, "grader", ())
    known = registry.components["grader"]
    if item is None:
        siblings = ", ".join(SIBLINGS["grader"])
        return f"{_plain(value)[:80]} is no grader", f"write its name, or {{name: {{options}}}} beside {siblings}"
    if item.name not in known:
        return f"no grader '{item.name}' is installed", did_you_mean(item.name, known) or "see `ftspec plugins`"
    component, hint = known[item.name].component, f"see `ftspec plugins show {item.name}`"
    try:
        options = component.convert(item.options)
        clash = next((text for rule in component.rules for _, text in rule(options)), "")
        if clash:
            return f"grader '{item.name}': {clash}", hint
        if any(items.paths(item.options, component)):
            return f"grader '{item.name}' names a file", "name files in the spec: what they hold has to be hashed"
        asked = {str(path[-1]): items.referred(value) for path, value in items.references(item, component)}
        for provider in asked.values():
            if provider.name not in registry.components["provider"]:
                return f"no provider '{provider.name}' is installed", "see `ftspec plugins`"
            registry.get("provider", provider.name).convert(provider.options)
            if provider.options and (provider.name, provider.options) not in _providers(spec, registry):
                return f"grader '{item.name}' asks '{provider.name}' with options of its own", NOT_HERE
        if secrets := secret_names({name: value for name, value in item.options.items() if name not in asked}):
            return f"grader '{item.name}' would be given the secret {', '.join(sorted(secrets))}", NOT_HERE
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        return f"grader '{item.name}': {error}", hint
    return _sibling_fault(item)


def _providers(spec: Spec, registry: Registry) -> Iterator[tuple[str, dict[str, Any]]]:
    """All that the spec names: its own, those of models under test, and those that options name."""
    for _, item in spec.items():
        named = items.references(item, registry.get(item.kind, item.name))
        for each in (item, *(items.referred(value) for _, value in named)):
            if each.kind == "provider":
                yield each.name, each.options


def _sibling_fault(item: Item) -> Fault | None:
    """Siblings are checked by the schema in a spec; in data nobody has looked at them."""
    checked: Mapping[str, bool] = {
        "weight": isinstance(item.weight, int | float) and not isinstance(item.weight, bool) and item.weight >= 0,
        "negate": isinstance(item.negate, bool),
        "id": isinstance(item.id, str),
    }
    wrong = next((name for name, good in checked.items() if not good), "")
    return (f"grader '{item.name}': '{wrong}' is not what it should be", "see docs/spec.md") if wrong else None
