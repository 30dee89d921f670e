"""The decorators that make a Component of a plain function with keyword-only options::

    @source
    def jsonl(*, path: Path) -> Source: ...

They say the component's kind; `Component` has all the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Unpack, overload

from ftspec.contracts.components import Component, Kind, Level, Settings


class Decorator(Protocol):
    """`@decorator` or `@decorator(rules=..., revision=...)` over a factory; see Component for the settings."""

    @overload
    def __call__(self, factory: Callable[..., Any], /) -> Component: ...

    @overload
    def __call__(self, **settings: Unpack[Settings]) -> Callable[[Callable[..., Any]], Component]: ...


def _decorator(kind: Kind, level: Level = "") -> Decorator:
    def decorate(factory: Callable[..., Any] | None = None, **settings: Unpack[Settings]) -> Any:
        if factory is None:
            return lambda late: Component(kind, late, level=level, **settings)
        return Component(kind, factory, level=level, **settings)

    decorate.__doc__ = f"Make a {level + ' ' if level else ''}{kind} of a factory; see Component for the settings."
    return decorate


source = _decorator("source")
batch_step = _decorator("cleaner", "batch")
text_step = _decorator("cleaner", "text")
row_step = _decorator("cleaner", "row")
global_step = _decorator("cleaner", "global")
screen_step = _decorator("cleaner", "screen")
format_ = _decorator("format")
check = _decorator("check")
provider = _decorator("provider")
grader = _decorator("grader")
gate = _decorator("gate")
engine = _decorator("engine")
