"""What a spec says at a place, as far as it has the right shape there: the rest of it may be faulty."""

from __future__ import annotations

from typing import Any

from ftspec.validation.places import RESERVED


def get(data: Any, *path: str) -> Any:
    """What stands at a path of keys, None where nothing does."""
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def listed(data: Any, *path: str) -> list[Any]:
    """The list that stands there; an empty one where none does."""
    found = get(data, *path)
    return found if isinstance(found, list) else []


def identity(item: Any) -> str:
    """An item's `id`, "" where it has none."""
    found = get(item, "id")
    return found if isinstance(found, str) else ""


def name(item: Any) -> str:
    """The component that an item names."""
    if isinstance(item, str):
        return item
    return next((key for key in item if key not in RESERVED), "") if isinstance(item, dict) else ""
