"""Calls of an engine: what comes out of `map` is held against what went in, one number per batch.

An engine that loses, repeats or reorders batches would train a model on other rows than the spec says. Every engine
that core builds is `held`; an error of the work that it runs passes as it is, any other is told as the engine's fault.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ftspec.common import streams
from ftspec.common.faults import Culprit, kind_of
from ftspec.common.figures import plural
from ftspec.common.wording import every
from ftspec.contracts.engine import Engine, Work
from ftspec.layout.rowcolumns import ROW

if TYPE_CHECKING:
    import pyarrow as pa

EMPTY = -1
"""The mark of a batch without rows."""
WORKS = "of_work"
"""The attribute of an error that says that the work raised it: an error keeps its attributes on its way here."""
OPTIONAL = ("reduce", "hold", "shuffle", "fetch")
"""What only some engines have: ftspec.contracts.engine."""


def held(engine: Any, culprit: Culprit) -> Engine:
    """The engine, held to its contract. It can do what the engine can, and no more: `isinstance` tells."""
    body = {name: _method(name) for name in OPTIONAL if hasattr(engine, name)}
    made: Engine = type(f"Held{type(engine).__name__}", (_Held,), body)(engine, culprit)
    return made


class _Held:
    """Base of what `held` makes: a class for each engine, because `isinstance` looks for methods at the class."""

    def __init__(self, engine: Any, culprit: Culprit) -> None:
        self._engine, self._culprit = engine, culprit

    def __getattr__(self, name: str) -> Any:
        if name == "_engine":  # of a copy that is only being made
            raise AttributeError(name)
        return getattr(self._engine, name)

    def map(self, work: Work, items: Iterable[pa.RecordBatch]) -> Iterator[Any]:
        """Results in the items' order. Raises PluginError where they are not, or some are missing."""
        waiting: deque[int] = deque()
        function = self._engine.map
        count = 0

        def sent() -> Iterator[pa.RecordBatch]:
            given = iter(items)
            while True:
                with _own():
                    item = next(given, None)
                if item is None:
                    return
                waiting.append(_mark(item))
                yield item

        for result in self._each("map", function, Marked(work), sent()):
            if not isinstance(result, tuple) or len(result) != 2:
                raise self._culprit.fault(
                    f"yielded {kind_of(result)} from map, which its work did not return", function
                )
            mark, made = result
            if not waiting:
                raise self._culprit.fault("yielded more results from map than items that it was given", function)
            if waiting.popleft() != mark:
                said = "lost, repeated or reordered items in map: results must come in the items' order, one for each"
                raise self._culprit.fault(said, function)
            count += 1
            yield made
        if waiting:
            total = count + len(waiting)
            said = f"yielded {plural(count, 'result')} from map of {plural(total, 'item')} that it was given"
            raise self._culprit.fault(said, function)

    def _batches(
        self, name: str, function: Any, results: Iterator[Any], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """The results, which are batches with these columns. Raises PluginError for others."""
        import pyarrow as pa

        for result in results:
            if not isinstance(result, pa.RecordBatch) or not set(columns) <= set(result.schema.names):
                wanted = f"a RecordBatch{' with the columns ' + every(columns) if columns else ''} is wanted"
                raise self._culprit.fault(f"yielded {kind_of(result)} from {name}; {wanted}", function)
            yield result

    def _each(self, name: str, function: Callable[..., Any], *args: Any) -> Iterator[Any]:
        with _guarded(self._culprit, name):
            results = function(*args)
        if not isinstance(results, Iterable):
            raise self._culprit.fault(f"returned {kind_of(results)} from {name}; an iterator is wanted", function)
        yielding = iter(results)
        while True:
            with _guarded(self._culprit, name):
                try:
                    result = next(yielding)
                except StopIteration:
                    return
            yield result


class Marked:
    """Work that says of which batch its result is, and of an error that it is its own."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In another process, where it is unpacked: what plugins print there is masked as here."""
        vars(self).update(state)
        streams.open_all()

    @property
    def rowwise(self) -> bool:
        return bool(getattr(self.work, "rowwise", False))

    @property
    def secrets(self) -> set[str]:
        return set(getattr(self.work, "secrets", ()))

    def __call__(self, item: pa.RecordBatch) -> tuple[int, Any]:
        with _own():
            return _mark(item), self.work(item)


class Own(Marked):
    """Work of the other methods, whose results go elsewhere: of an error it says that it is its own."""

    def __call__(self, item: Any) -> Any:
        with _own():
            return self.work(item)


def _mark(item: pa.RecordBatch) -> int:
    """What tells a batch from all others: the number of its first row."""
    return item.column(ROW)[0].as_py() if item.num_rows else EMPTY


@contextmanager
def _own() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        with suppress(AttributeError):
            setattr(error, WORKS, True)
        raise


@contextmanager
def _guarded(culprit: Culprit, name: str) -> Iterator[None]:
    """Errors of the engine's own are its faults; those of the work are not."""
    try:
        with culprit.guard(name):
            yield
    except Exception as error:
        cause = error.__cause__
        if cause is not None and getattr(cause, WORKS, False):
            raise cause from cause.__cause__
        raise


def _method(name: str) -> Callable[..., Any]:
    def call(self: _Held, *args: Any) -> Any:
        function = getattr(self._engine, name)
        first, *rest = args
        given = (Own(first), *rest) if name != "fetch" else args
        if name in ("hold", "shuffle"):
            with _guarded(self._culprit, name):
                return function(*given)
        results = self._each(name, function, *given)
        return self._batches(name, function, results, ("row", "because") if name == "reduce" else ())

    return call
