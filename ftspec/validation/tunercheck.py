"""What the provider says of the request, what its jobs cannot do, and when it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec

from ftspec import items
from ftspec.common.errors import Problem, SpecError, SpecPath
from ftspec.common.jobs import Request
from ftspec.contracts.provider import Provider
from ftspec.costs import tables
from ftspec.spec import Item, Spec
from ftspec.validation import reading, retirement
from ftspec.validation.candidate import Candidate
from ftspec.validation.itemcheck import broken, exists, file_hint

TUNER_KEYS = {"provider", "model", "method", "hyperparameters"}


def model(candidate: Candidate) -> Iterator[Problem]:
    """A model that is written as a path must be there."""
    document = candidate.document
    model = document.data.get("model") if isinstance(document.data, dict) else None
    path: SpecPath = ("model", "id") if isinstance(model, dict) else ("model",)
    name = model.get("id") if isinstance(model, dict) else model
    if isinstance(name, str) and reading.is_path(name) and not exists(candidate.folder, name):
        written = document.written.get(path, name)
        hint = "a folder is relative to the spec; a hub id has no './' or '/' in front"
        yield Problem(message=f"no such model folder: {written}", hint=hint, path=path)


def tuner(candidate: Candidate) -> Iterator[Problem]:
    """What the provider says about the request."""
    item = candidate.provider
    if item is None or any(path[:1] in {(key,) for key in TUNER_KEYS} for path in candidate.faulty):
        return
    if not isinstance(candidate.document.data, dict) or "model" not in candidate.document.data:
        return
    try:
        yield from _built(candidate, item).problems(_request(candidate, item))
    except Exception as error:  # a plugin must not take `validate` along
        yield broken(item, candidate.registry, error)


def ends(candidate: Candidate) -> Iterator[Problem]:
    """Tables of prices that cannot be read, and what they say of the end of the model and its tuner."""
    data = candidate.document.data
    named = reading.costs_of(data).prices if isinstance(data, dict) and ("costs",) not in candidate.faulty else ()
    files = []
    for index, name in enumerate(named):
        if (candidate.folder / name).is_file():
            files.append(candidate.folder / name)
        else:
            hint = file_hint(candidate.folder, name, candidate.document)
            yield Problem(message=f"no such file: {name}", hint=hint, path=("costs", "prices", index))
    try:
        known = tables.read(files)
    except SpecError as error:
        yield from error.problems
        return
    item = candidate.provider
    if item is None or not isinstance(data, dict) or "model" not in data or ("model",) in candidate.faulty:
        return
    with contextlib.suppress(Exception):  # `tuner` says what is wrong with it
        endpoint = _built(candidate, item).endpoint
        model = reading.model_of(candidate.document).id
        yield from retirement.problems(known, endpoint, model, candidate.retires_within)


def following(candidate: Candidate) -> Iterator[Problem]:
    """What the provider's jobs cannot do is not asked of them."""
    item = candidate.provider
    if item is None or not isinstance(candidate.document.data, dict):
        return
    factory = candidate.registry.get("provider", item.name).factory
    for index, named in enumerate(_entries(candidate.document.data.get("eval"), "models")):
        if isinstance(named, dict) and "checkpoints" in named:
            yield from _kept(candidate, item, "remove this entry", ("eval", "models", index, "checkpoints"))
    wanted = candidate.document.data.get("follow")
    if not isinstance(wanted, dict):
        return
    if "early_stopping" in wanted and not hasattr(factory, "stop"):
        message = f"provider '{item.name}' cannot end a job early and keep its model"
        path: SpecPath = ("follow", "early_stopping")
        yield Problem(message=message, hint="remove `early_stopping`, or lower `epochs`", path=path, on="key")
    if wanted.get("checkpoint") == "best":
        yield from _kept(candidate, item, "write `checkpoint: last`", ("follow", "checkpoint"))


def _kept(candidate: Candidate, item: Item, instead: str, path: SpecPath) -> Iterator[Problem]:
    """Whether the provider's jobs, and then this one, keep the checkpoints that are wanted at the path."""
    factory = candidate.registry.get("provider", item.name).factory
    if not hasattr(factory, "checkpoints"):
        yield Problem(message=f"jobs of provider '{item.name}' keep no checkpoints", hint=instead, path=path)
    elif hasattr(factory, "keeps_no_checkpoints"):
        with contextlib.suppress(Exception):  # `tuner` says what is wrong with it
            built: Any = _built(candidate, item)
            if found := built.keeps_no_checkpoints(_request(candidate, item)):
                yield msgspec.structs.replace(found, hint=f"{found.hint}, or {instead}", path=path)


def _entries(value: Any, name: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _built(candidate: Candidate, item: Item) -> Provider:
    """The provider, with its secrets left as references."""
    provider: Provider = items.build(item, candidate.registry, candidate.folder)
    return provider


def _request(candidate: Candidate, provider: Item) -> Request:
    """The request of what will be the spec, though parts that the tuner never sees may still be faulty."""
    data, file = candidate.document.data, candidate.document.file
    method, method_options = reading.method_of(data)
    return items.request_of(
        Spec(
            version=1,
            name="",
            folder=candidate.folder,
            file=file,
            sources=(),
            provider=provider,
            model=reading.model_of(candidate.document),
            method=method,
            method_options=method_options,
            hyperparameters=data.get("hyperparameters", {}),
        ),
        candidate.registry,
    )
