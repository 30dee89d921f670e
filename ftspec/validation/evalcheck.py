"""What holds between the parts of an evaluation: prompts and sides, further models, graders, gates that need them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ftspec.common.errors import Problem, SpecPath
from ftspec.common.evaluation import Needs
from ftspec.common.wording import did_you_mean
from ftspec.contracts.components import Component
from ftspec.document.document import Document
from ftspec.registry import Registry
from ftspec.validation import lookup
from ftspec.validation.places import SIDES, SPLIT_PROMPTS

WAYS = ("model", "run", "checkpoints")
"""How a further model is given."""


def names(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything that one part says about another."""
    yield from _prompts(data)
    yield from _models(data)
    yield from _graders(data)
    yield from _gates(data)


def needs(document: Document, registry: Registry) -> Iterator[Problem]:
    """Gates that need measured what the evaluation does not measure."""
    if not isinstance(document.data, dict) or "eval" not in document.data:
        return
    for index, gate in enumerate(lookup.listed(document.data, "gates")):
        known = registry.components["gate"].get(name := lookup.name(gate))
        wanted = _wanted(known.component, lookup.get(gate, name)) if known else None
        if not wanted:
            continue
        if wanted.repeats and _measured_once(document.data):
            message = "consistency is not measured, so this gate can never pass"
            hint = "set `eval: {repeat: 3, generation: {temperature: 0.7}}`, or more"
            yield Problem(message=message, hint=hint, path=("gates", index))
        elif wanted.answers > _most_answers(document.data):
            message = f"this gate looks at {wanted.answers} answers to each prompt, and there are fewer"
            hint = f"set `eval: {{repeat: {wanted.answers}, generation: {{temperature: 0.7}}}}`, or more"
            yield Problem(message=message, hint=hint, path=("gates", index))


def _wanted(component: Component, options: Any) -> Needs | None:
    """What the gate needs, None where its options are faulty: that is said elsewhere."""
    try:
        wanted: Needs = component.needs(component.convert(options if isinstance(options, dict) else {}))
    except (msgspec.ValidationError, KeyError, TypeError):
        return None
    return wanted


def _prompts(data: Mapping[str, Any]) -> Iterator[Problem]:
    for index, prompt in enumerate(lookup.listed(data, "eval", "prompts")):
        side = lookup.get(prompt, SPLIT_PROMPTS)
        if side in SIDES and not lookup.get(data, "split", side):
            hint = f"add `split: {{{side}: 0.2}}`, or name a source"
            path = ("eval", "prompts", index, SPLIT_PROMPTS)
            yield Problem(message=f"the prompts are the {side} split, and there is none", hint=hint, path=path)


def _models(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Each further model is said in one way, and all are called differently."""
    first: dict[str, int] = {}
    for index, entry in enumerate(lookup.listed(data, "eval", "models")):
        path: SpecPath = ("eval", "models", index)
        if not isinstance(entry, dict):
            continue
        said = [way for way in WAYS if way in entry]
        if len(said) != 1:
            message = f"a further model is given by one of {', '.join(WAYS)}; found {' and '.join(said) or 'none'}"
            yield Problem(message=message, hint="e.g. `- model: some-model`", path=path)
            continue
        if "provider" in entry and said != ["model"]:
            message = f"'provider' goes with 'model': a {said[0].removesuffix('s')} has its own"
            yield Problem(message=message, hint="remove it", path=(*path, "provider"), on="key")
        label = _label(entry, said[0])
        if label in ("base", "tuned"):
            message = f"'{label}' is always asked, and no further model can be called that"
            yield Problem(
                message=message, hint="give it another `id`", path=(*path, "id" if "id" in entry else said[0])
            )
        elif label in first:
            message = f"two further models are called '{label}': items {first[label] + 1} and {index + 1}"
            yield Problem(message=message, hint="give each an `id` of its own", path=path)
        first.setdefault(label, index)


def _label(entry: Mapping[str, Any], way: str) -> str:
    named = entry[way]
    if way == "checkpoints":
        named = "best checkpoint" if named == "best" else "checkpoint"
    return str(entry.get("id") or (named.get("id", "") if isinstance(named, dict) else named))


def _graders(data: Mapping[str, Any]) -> Iterator[Problem]:
    graders = lookup.listed(data, "eval", "graders")
    if isinstance(lookup.get(data, "eval"), dict) and not {"graders", "asserts"} & set(data["eval"]):
        hint = "add `graders`, or name the column of the prompts' own with `asserts`"
        yield Problem(message="nothing grades the answers", hint=hint, path=("eval",), on="key")
    if graders and all(lookup.get(grader, "weight") == 0 for grader in graders):
        path = ("eval", "graders")
        yield Problem(message="every grader has weight 0: none decides", hint="raise one", path=path, on="key")
    repeat, temperature = _asking(data)
    if isinstance(repeat, int) and repeat > 1 and temperature == 0:
        message = f"each prompt is asked {repeat} times with greedy decoding: the answers will not differ"
        hint = "set `generation: {temperature: 0.7}`, or remove `repeat`"
        yield Problem(message=message, hint=hint, path=("eval", "repeat"), severity="warning")


def _gates(data: Mapping[str, Any]) -> Iterator[Problem]:
    gates = lookup.listed(data, "gates")
    if not lookup.get(data, "eval", "asserts"):  # a prompt's own grader is known when the data are
        yield from _graders_of(
            gates, [lookup.identity(item) or lookup.name(item) for item in lookup.listed(data, "eval", "graders")]
        )
    if gates and "eval" not in data:
        hint = "add `eval:` with prompts and graders"
        yield Problem(message="gates judge an evaluation, and there is none", hint=hint, path=("gates",), on="key")
    else:
        yield from _models_of(gates, lookup.listed(data, "eval", "models"))


def _graders_of(gates: list[Any], ids: list[str]) -> Iterator[Problem]:
    """A gate's option `grader` names a grader by its id, or by its name where it has none."""
    for index, gate in enumerate(gates):
        name = lookup.name(gate)
        wanted = lookup.get(gate, name, "grader")
        if isinstance(wanted, str) and wanted and ids and wanted not in ids:
            hint = did_you_mean(wanted, ids) or f"there are {', '.join(ids)}"
            yield Problem(message=f"no grader '{wanted}'", hint=hint, path=("gates", index, name, "grader"))


def _models_of(gates: list[Any], further: list[Any]) -> Iterator[Problem]:
    """A gate's `model` and `against` name a model that is asked. Checkpoints are known when the job has ended."""
    ways = [next((way for way in WAYS if lookup.get(entry, way)), "") for entry in further]
    if not all(ways) or any(lookup.get(entry, "checkpoints") == "all" for entry in further):
        return
    labels = ["base", "tuned", *(_label(entry, way) for entry, way in zip(further, ways, strict=True))]
    for index, gate in enumerate(gates):
        name = lookup.name(gate)
        for option in ("model", "against"):
            wanted = lookup.get(gate, name, option)
            if isinstance(wanted, str) and wanted not in [*labels, "accepted"]:
                hint = did_you_mean(wanted, labels) or f"there are {', '.join(labels)}; others go under `eval.models`"
                message = f"no model '{wanted}' is asked"
                yield Problem(message=message, hint=hint, path=("gates", index, name, option))


def _measured_once(data: Mapping[str, Any]) -> bool:
    """Whether answers cannot differ between repeats: there is one, or decoding is greedy."""
    repeat, temperature = _asking(data)
    return bool(repeat == 1 or temperature == 0)


def _most_answers(data: Mapping[str, Any]) -> float:
    """How many answers each prompt has; no bound where that cannot be read."""
    repeat, temperature = _asking(data)
    known = isinstance(repeat, int) and isinstance(temperature, int | float)
    return (repeat if temperature else 1) if known else float("inf")


def _asking(data: Mapping[str, Any]) -> tuple[Any, Any]:
    """How often a prompt is asked, and the temperature.

    What cannot be read is None, or no number, and not the default: that it is faulty is said elsewhere, and nothing
    can be said of it here.
    """
    evaluation = data["eval"] if isinstance(data.get("eval"), dict) else {}
    generation = evaluation.get("generation", {})
    temperature = generation.get("temperature", 0) if isinstance(generation, dict) else None
    return evaluation.get("repeat", 1), temperature
