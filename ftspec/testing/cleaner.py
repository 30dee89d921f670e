"""Cleaning steps, tested by example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ftspec import rows
from ftspec.contracts.components import Component
from ftspec.contracts.steps import GlobalStep, Reference
from ftspec.data.cleaning import Stage, run_step
from ftspec.data.stepping import runner
from ftspec.registry import Loaded, Registry
from ftspec.spec import Item
from ftspec.testing.component import ComponentSuite


class CleanerSuite(ComponentSuite):
    """A cleaning step of any level: the rows it is given, and the rows that are left."""

    given: ClassVar[Sequence[Mapping[str, Any]]]
    expected: ClassVar[Sequence[Mapping[str, Any]]]

    def test_makes_of_rows_what_is_expected(self) -> None:
        assert _rows(_cleaned(self.component, self.options, _numbered(self.given))) == list(self.expected)

    def test_comes_to_the_same_again(self) -> None:
        first, second = (_cleaned(self.component, self.options, _numbered(self.given)) for _ in range(2))
        assert first.equals(second)

    def test_needs_no_rows(self) -> None:
        nothing = _numbered(self.given).slice(0, 0)
        assert _cleaned(self.component, self.options, nothing).num_rows == 0

    def test_treats_each_row_alike_whatever_comes_with_it(self) -> None:
        if self.component.sees_all:
            return
        batch = _numbered(self.given)
        each = [_cleaned(self.component, self.options, batch.slice(index, 1)) for index in range(batch.num_rows)]
        assert [row for one in each for row in _rows(one)] == list(self.expected)


def _numbered(given: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as a source reads them."""
    numbered = rows.from_dicts(given).append_column(rows.ROW, rows.integers(range(1, len(given) + 1)))
    return numbered.append_column(rows.SIDE, rows.strings(["train"] * len(given)))


def _cleaned(component: Component, options: Mapping[str, Any], batch: Any) -> Any:
    """What core makes of the batch with the step; findings are errors."""
    registry = Registry()
    registry.components["cleaner"][component.name] = Loaded(component, "suite", "0", "suite")
    item = Item(kind="cleaner", name=component.name, options=dict(options))
    if component.level == "global":
        return _reduced(component.build(options), batch)
    learned = component.build(options).learn([_elsewhere()]) if component.level == "screen" else None
    run = runner(item, registry, Path(), learned=learned)
    batch, done = run_step(Stage(item=item, index=0, learned=learned), registry, run, batch)
    assert not done.findings, done.findings[0].message
    return batch


def _elsewhere() -> Reference:
    """What a screen compares with: a prompt that has nothing in common with anybody's rows."""
    said = " ".join(f"only-the-suite-says-{number}" for number in range(40))
    batch = rows.from_dicts([{"messages": [{"role": "user", "content": said}]}])
    batch = batch.append_column(rows.ROW, rows.integers([1]))
    return Reference(batch.append_column(rows.SIDE, rows.strings(["prompt"])), ["suite:1"])


def _reduced(step: GlobalStep, batch: Any) -> Any:
    """What a global step leaves of a batch that is all there is, in its order."""
    import pyarrow.compute as pc

    keys, numbers = step.keys(batch), batch.column(rows.ROW)
    gone = []
    if step.closer:
        looked = batch.filter(pc.is_in(numbers, value_set=step.closer.wanted(keys, numbers)))
        details = step.closer.details(looked)
        gone = step.closer.reduce(keys, numbers, looked.column(rows.ROW), details).rows.to_pylist()
    elif step.reduce:
        gone = step.reduce(keys, numbers).rows.to_pylist()
    stay = [at for at, number in enumerate(numbers.to_pylist()) if number not in set(gone)]
    if step.sort:
        values = keys.to_pylist()
        stay.sort(key=lambda at: (values[at] is None, values[at]) if values[at] is not None else (True,))
    return batch.take(rows.integers(stay))


def _rows(batch: Any) -> list[dict[str, Any]]:
    return rows.to_dicts(batch)
