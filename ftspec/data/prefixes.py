"""What stands before a point of the data step, as one digest: the steps, their options, their code, ftspec's own code.

Rows that are the same before such a prefix are the same after it. The digests name entries of a cache (blocks)
and nothing else: they may change with every version.
"""

from __future__ import annotations

import hashlib
import pickle
import platform
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from ftspec.data.cleaning import Stage
from ftspec.data.segments import Segment
from ftspec.items import guarded
from ftspec.plans import inventory
from ftspec.plans.stepkeys import code_of
from ftspec.registry import Registry
from ftspec.spec import Item

ROOMS = ("builtin", "common", "compiled", "contracts", "data", "files", "layout")
"""Folders whose code makes of a batch what is kept, beside the modules that stand in none."""


def marks(segment: Segment) -> list[str]:
    """A digest for every point of the segment: before its first step, after each, and for its end."""
    told = {"own": _own_code(), "split": msgspec.to_builtins(segment.split)}
    found = [_digest("", told)]
    for stage in segment.stages:
        found.append(_digest(found[-1], _step(segment, stage)))
    return [*found, _digest(found[-1], _end(segment))]


def _step(segment: Segment, stage: Stage) -> dict[str, Any]:
    learned = ""
    if stage.learned is not None:
        with guarded(stage.item, segment.registry, "learn, which returned what cannot be pickled"):
            learned = hashlib.sha256(pickle.dumps(stage.learned)).hexdigest()
    return _item(segment, stage.item) | {"shown": stage.shown, "learned": learned}


def _end(segment: Segment) -> dict[str, Any]:
    form = _step(segment, segment.form) if segment.form else None
    items = [_step(segment, stage) for stage in segment.keys] + [_item(segment, item) for item in segment.checks]
    return {"form": form, "items": items, "shape": segment.shape, "prompts": segment.prompt_sides}


def _item(segment: Segment, item: Item) -> dict[str, Any]:
    registry: Registry = segment.registry
    component = registry.get(item.kind, item.name)
    return {
        "kind": item.kind,
        "name": item.name,
        "options": msgspec.to_builtins(component.convert(item.options)),
        "content": inventory.content(item, registry, segment.folder),
        "code": code_of(component, item.options),
        "on_error": item.on_error,
        "tuned": _tuned(segment) if component.asks_tuner and segment.tuned else None,
    }


def _tuned(segment: Segment) -> list[Any]:
    """What a step that asks for the tuner knows: the request, the provider's code, whether a tokenizer is here."""
    assert segment.tuned is not None
    provider = segment.registry.get("provider", segment.tuned.provider.name)
    at_hand = segment.tuner.tokenizer() is not None
    return [
        *(msgspec.to_builtins(each) for each in segment.tuned),
        code_of(provider, segment.tuned.provider.options),
        at_hand,
    ]


@cache
def _own_code() -> str:
    """ftspec's modules, and the libraries that do its work: their change may be a change of what a step does."""
    import pyarrow as pa

    state = hashlib.sha256(f"{platform.python_version()} {pa.__version__}".encode())
    here = Path(__file__).parents[1]
    for path in sorted([*here.glob("*.py"), *(path for room in ROOMS for path in here.glob(f"{room}/**/*.py"))]):
        state.update(path.read_bytes())
    return state.hexdigest()


def _digest(before: str, told: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode([before, told], order="sorted")).hexdigest()[:32]
