"""What holds between the parts of a spec: names that must exist and be unique, gates that need an evaluation, dates.

Every function takes a document that may be faulty elsewhere, and looks only at what has the right shape.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ftspec import schema
from ftspec.components import TITLES, Component, Kind
from ftspec.document import Document
from ftspec.errors import Problem, SpecPath
from ftspec.evaluation import Needs
from ftspec.places import RESERVED, SPLIT_PROMPTS
from ftspec.registry import Registry
from ftspec.shapes import Shape
from ftspec.wording import did_you_mean

SIDES = ("validation", "test")
WAYS = ("model", "run", "checkpoints")
"""How a further model is given."""
ROWS: dict[Shape, str] = {
    "chat": "conversations",
    "preference": "preference pairs",
    "reinforcement": "reinforcement items",
}


def names(document: Document) -> Iterator[Problem]:
    """Everything that one part of the spec says about another."""
    data = document.data
    if not isinstance(data, dict):
        return
    for path in (("sources",), ("cleaning",), ("checks",), ("gates",), ("eval", "prompts")):
        yield from _unique(path, [_id(item) for item in _list(data, *path)])
    yield from _unique(("eval", "graders"), [_id(item) or _name(item) for item in _list(data, "eval", "graders")])
    yield from _sources(data)
    yield from _split(data)
    yield from _mix(data)
    yield from _follow(data)
    yield from _prompts(data)
    yield from _models(data)
    yield from _graders(data)
    yield from _gates(data)
    yield from _waivers(data)


def needs(document: Document, registry: Registry) -> Iterator[Problem]:
    """Gates that need measured what the evaluation does not measure."""
    if not isinstance(document.data, dict) or "eval" not in document.data:
        return
    for index, gate in enumerate(_list(document.data, "gates")):
        known = registry.components["gate"].get(name := _name(gate))
        wanted = _needs(known.component, _get(gate, name)) if known else None
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


def _needs(component: Component, options: Any) -> Needs | None:
    """What the gate needs, None where its options are faulty: that is said elsewhere."""
    try:
        wanted: Needs = component.needs(component.convert(options if isinstance(options, dict) else {}))
    except (msgspec.ValidationError, KeyError, TypeError):
        return None
    return wanted


def shapes(document: Document, registry: Registry) -> Iterator[Problem]:
    """A format or a check for rows of another shape than those that the method trains on."""
    data = document.data
    provider = _name(_get(data, "provider"))
    method = _name(_get(data, "method") or schema.DEFAULT)
    known = registry.components["provider"].get(provider)
    wanted = known and known.component.methods.get(method)
    if not wanted:
        return
    places: list[tuple[Kind, SpecPath, Any]] = [("format", ("format",), _get(data, "format"))]
    places += [("check", ("checks", index), check) for index, check in enumerate(_list(data, "checks"))]
    for kind, path, item in places:
        named = registry.components[kind].get(_name(item))
        made = named.component.data if named else None
        if named and made and made != wanted.data:
            name = named.component.name
            yield Problem(
                message=f"{TITLES[kind]} '{name}' is for {ROWS[made]}; method '{method}' trains on {ROWS[wanted.data]}",
                hint=_shape_hint(kind, wanted.data, registry),
                path=(*path, name) if isinstance(item, dict) else path,
                on="key" if isinstance(item, dict) else "value",
            )


def _shape_hint(kind: Kind, shape: Shape, registry: Registry) -> str:
    if kind != "format":
        return "remove it"
    named = sorted(name for name, each in registry.components["format"].items() if each.component.data == shape)
    return f"use {' or '.join(map(repr, named))}, or another method"


def _get(data: Any, *path: str) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _list(data: Any, *path: str) -> list[Any]:
    found = _get(data, *path)
    return found if isinstance(found, list) else []


def _id(item: Any) -> str:
    found = _get(item, "id")
    return found if isinstance(found, str) else ""


def _name(item: Any) -> str:
    """The component that an item names."""
    if isinstance(item, str):
        return item
    return next((key for key in item if key not in RESERVED), "") if isinstance(item, dict) else ""


def _unique(path: SpecPath, ids: list[str]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, identity in enumerate(ids):
        if identity in first:
            message = f"two items of '{path[-1]}' are called '{identity}': items {first[identity] + 1} and {index + 1}"
            yield Problem(message=message, hint="give each an `id` of its own", path=(*path, index, "id"))
        elif identity:
            first[identity] = index


def _sources(data: Mapping[str, Any]) -> Iterator[Problem]:
    """What only prompts may have; and sources that are read as messages, which leave a format nothing to do."""
    for index, source in enumerate(_list(data, "sources")):
        if _get(source, "as_is"):
            hint = "remove it: what is trained on is cleaned and formatted by the spec"
            yield Problem(message="'as_is' is for prompts", hint=hint, path=("sources", index, "as_is"), on="key")
    for place, items in ((("sources",), _list(data, "sources")), (("eval", "prompts"), _list(data, "eval", "prompts"))):
        for index, item in enumerate(items if "format" in data else ()):
            if _get(item, "read_as") not in (None, "auto", "none") and not _get(item, "as_is"):
                message = "'read_as' makes messages of the rows, and so does the format"
                hint = "remove one of them"
                yield Problem(message=message, hint=hint, path=(*place, index, "read_as"), on="key")


def _split(data: Mapping[str, Any]) -> Iterator[Problem]:
    split = _get(data, "split")
    sides = {side: _get(split, side) for side in SIDES}
    named = {side: value for side, value in sides.items() if isinstance(value, str)}
    ids = [identity for identity in map(_id, _list(data, "sources")) if identity]
    for side, name in named.items():
        if name not in ids:
            hint = did_you_mean(name, ids) or "give that source an `id`, or write a share such as 0.1"
            yield Problem(message=f"no source has the id '{name}'", hint=hint, path=("split", side))
    if len(named) == 2 and len(set(named.values())) == 1:
        message = "validation and test are the same source"
        yield Problem(message=message, hint="what is tuned on would be what is tested on", path=("split", "test"))
    if named and set(named.values()) >= set(ids) and len(_list(data, "sources")) == len(set(named.values())):
        message = "no source is left to train on"
        yield Problem(message=message, hint="add one, or split by share, e.g. `test: 0.2`", path=("split",), on="key")
    shares = [value for value in sides.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    if sum(shares) >= 1 and all(0 <= share < 1 for share in shares):
        message = f"validation and test together take {sum(shares):g} of the rows: nothing is left to train on"
        yield Problem(message=message, hint="their sum must be below 1", path=("split",), on="key")


def _mix(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Weights that nothing looks at; a step that takes out what the mixture repeats."""
    mix = _get(data, "mix")
    for place, items in ((("sources",), _list(data, "sources")), (("eval", "prompts"), _list(data, "eval", "prompts"))):
        for index, item in enumerate(items):
            if _get(item, "weight") is not None and (mix is None or place != ("sources",)):
                message = "the weight of a source counts where sources are mixed"
                hint = "add `mix: {}`" if place == ("sources",) else "prompts are not mixed: remove it"
                yield Problem(message=message, hint=hint, path=(*place, index, "weight"), on="key")
    if _get(data, "mix", "until") in (None, "first_exhausted"):
        return
    for index, step in enumerate(_list(data, "cleaning")):
        if _name(step) in ("dedupe", "near_dedupe"):
            message = f"'{_name(step)}' drops the rows that the mixture repeats"
            hint = "remove it, or mix until the first source has ended"
            yield Problem(message=message, hint=hint, path=("cleaning", index), severity="warning")


def _follow(data: Mapping[str, Any]) -> Iterator[Problem]:
    """What looks at the validation loss needs one."""
    stopping = _get(data, "follow", "early_stopping")
    if _get(data, "split", "validation"):
        return
    hint = "add `split: {validation: 0.1}`"
    if isinstance(stopping, dict) and stopping.get("metric", "validation_loss") == "validation_loss":
        message = "early stopping looks at the validation loss, and there are no validation rows"
        yield Problem(message=message, hint=hint, path=("follow", "early_stopping"), on="key")
    if _get(data, "follow", "checkpoint") == "best":
        message = "the best checkpoint is the one of the lowest validation loss, and there are no validation rows"
        yield Problem(message=message, hint=hint, path=("follow", "checkpoint"))


def _prompts(data: Mapping[str, Any]) -> Iterator[Problem]:
    for index, prompt in enumerate(_list(data, "eval", "prompts")):
        side = _get(prompt, SPLIT_PROMPTS)
        if side in SIDES and not _get(data, "split", side):
            hint = f"add `split: {{{side}: 0.2}}`, or name a source"
            path = ("eval", "prompts", index, SPLIT_PROMPTS)
            yield Problem(message=f"the prompts are the {side} split, and there is none", hint=hint, path=path)


def _models(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Each further model is said in one way, and all are called differently."""
    first: dict[str, int] = {}
    for index, entry in enumerate(_list(data, "eval", "models")):
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
    graders = _list(data, "eval", "graders")
    if isinstance(_get(data, "eval"), dict) and not {"graders", "asserts"} & set(data["eval"]):
        hint = "add `graders`, or name the column of the prompts' own with `asserts`"
        yield Problem(message="nothing grades the answers", hint=hint, path=("eval",), on="key")
    if graders and all(_get(grader, "weight") == 0 for grader in graders):
        path = ("eval", "graders")
        yield Problem(message="every grader has weight 0: none decides", hint="raise one", path=path, on="key")
    repeat, temperature = _asking(data)
    if isinstance(repeat, int) and repeat > 1 and temperature == 0:
        message = f"each prompt is asked {repeat} times with greedy decoding: the answers will not differ"
        hint = "set `generation: {temperature: 0.7}`, or remove `repeat`"
        yield Problem(message=message, hint=hint, path=("eval", "repeat"), severity="warning")


def _gates(data: Mapping[str, Any]) -> Iterator[Problem]:
    gates = _list(data, "gates")
    if not _get(data, "eval", "asserts"):  # a prompt's own grader is known when the data are
        yield from _graders_of(gates, [_id(item) or _name(item) for item in _list(data, "eval", "graders")])
    if gates and "eval" not in data:
        hint = "add `eval:` with prompts and graders"
        yield Problem(message="gates judge an evaluation, and there is none", hint=hint, path=("gates",), on="key")
    else:
        yield from _models_of(gates, _list(data, "eval", "models"))


def _graders_of(gates: list[Any], ids: list[str]) -> Iterator[Problem]:
    """A gate's option `grader` names a grader by its id, or by its name where it has none."""
    for index, gate in enumerate(gates):
        name = _name(gate)
        wanted = _get(gate, name, "grader")
        if isinstance(wanted, str) and wanted and ids and wanted not in ids:
            hint = did_you_mean(wanted, ids) or f"there are {', '.join(ids)}"
            yield Problem(message=f"no grader '{wanted}'", hint=hint, path=("gates", index, name, "grader"))


def _models_of(gates: list[Any], further: list[Any]) -> Iterator[Problem]:
    """A gate's `model` and `against` name a model that is asked. Checkpoints are known when the job has ended."""
    ways = [next((way for way in WAYS if _get(entry, way)), "") for entry in further]
    if not all(ways) or any(_get(entry, "checkpoints") == "all" for entry in further):
        return
    labels = ["base", "tuned", *(_label(entry, way) for entry, way in zip(further, ways, strict=True))]
    for index, gate in enumerate(gates):
        name = _name(gate)
        for option in ("model", "against"):
            wanted = _get(gate, name, option)
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


def _waivers(data: Mapping[str, Any]) -> Iterator[Problem]:
    for index, check in enumerate(_list(data, "checks")):
        until = _get(check, "waive", "until")
        if not isinstance(until, str):
            continue
        path = ("checks", index, "waive", "until")
        try:
            day = datetime.date.fromisoformat(until)
        except ValueError:
            yield Problem(message=f"'{until[:20]}' is not a day", hint="write year-month-day", path=path)
            continue
        if day < datetime.date.today():
            hint = "mend the data and remove the waiver, or have it renewed"
            yield Problem(message=f"this waiver ended on {until}", hint=hint, path=path)
