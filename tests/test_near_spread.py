"""near_dedupe on an engine that shuffles drops what it drops by itself, row for row, however rows are parted."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugged import plug
from test_cleaners import batch_of
from test_near_dedupe import WORDS, dropped, relative
from test_pipeline import item, prepare, spec_of, write

from ftspec import api, registry, rows
from ftspec.builtin.dedupe import near_dedupe
from ftspec.builtin.near import crowds, join, spread
from ftspec.common.errors import PluginError
from ftspec.data import segments
from ftspec.registry import Registry


class Held(NamedTuple):
    batches: list[pa.RecordBatch]


class InParts:
    """An engine that shuffles, in this process: what it holds lies pickled, as on a machine far away."""

    def __init__(self, parts: int = 3) -> None:
        self.parts, self.shuffles = parts, 0

    def map(self, work: api.Work, items: Iterable[Any]) -> Iterator[Any]:
        return map(work, items)

    def hold(self, work: api.Work, items: Any) -> Held:
        batches = list(items.batches if isinstance(items, Held) else items)
        assert batches
        return Held([far(work)(far(batch)) for batch in batches])

    def shuffle(self, work: api.Work, *held: Any) -> Held:
        self.shuffles += 1
        return Held([far(work)([self.part(each, number) for each in held]) for number in range(self.parts)])

    def part(self, held: Held, number: int) -> pa.RecordBatch:
        whole = pa.Table.from_batches(held.batches[::-1])
        mine = [key % self.parts == number for key in whole["key"].to_pylist()]
        return pa.concat_batches(whole.filter(rows.booleans(mine)).to_batches() or [empty(whole)])

    def fetch(self, held: Held) -> Iterator[pa.RecordBatch]:
        return iter(held.batches)


def empty(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in table.schema], schema=table.schema)


def far(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def spread_out(values: list[dict[str, Any]], engine: InParts, cut: int = 7, **options: Any) -> dict[int, int]:
    """Row → the row that stays in its place."""
    step = near_dedupe.build(options)
    whole = batch_of(values)
    batches = [whole.slice(start, cut) for start in range(0, len(values), cut)]

    def again(places: pa.Array) -> Iterator[pa.RecordBatch]:
        for start, batch in zip(range(0, len(values), cut), batches, strict=True):
            here = [place for place in places.to_pylist() if start <= place < start + cut]
            if here:
                made = batch.take(rows.integers([place - start for place in here]))
                yield made.append_column(rows.PLACE, rows.integers(here))

    keys = pa.concat_arrays([step.keys(batch) for batch in batches])
    found = step.closer.spread(engine, keys, whole.column(rows.ROW), again)
    return dict(zip(found.rows.to_pylist(), found.because.to_pylist(), strict=True))


def test_pairs_chains_and_crowds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "PIECE", 100)
    draw = random.Random(3)
    template = " ".join(draw.choices(WORDS, k=60))
    crowd = [f"{template} {' '.join(draw.choices(WORDS, k=40))}" for _ in range(150)]
    alone = [" ".join(draw.choices(WORDS, k=draw.randint(2, 90))) for _ in range(150)]
    texts = crowd + alone + [relative(draw, text, 0.7, 0.95) for text in crowd[:40] + alone[:20] if len(text) > 200]
    texts += [f"{texts[0]} {word}" for word in WORDS[:60]] + alone[:30] + ["", "..."]
    draw.shuffle(texts)
    values = [{"text": text} for text in texts]
    expected = dropped(values)
    assert len(expected) > 120
    for parts in (1, 5):
        engine = InParts(parts)
        assert spread_out(values, engine, cut=50) == expected
        assert engine.shuffles == 5  # the crowd is compared by its own


def test_nothing_is_looked_at_where_nothing_is_alike() -> None:
    engine = InParts()
    assert spread_out([{"text": text} for text in ("one", "two", "", "three")], engine) == {}
    assert spread_out([{"text": text} for text in ("one", "two", "One!")], engine) == {3: 1}
    assert spread_out([{"text": ""}], engine) == {}
    assert engine.shuffles == 3 * 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=8).map(" ".join), min_size=1, max_size=40),
    st.sampled_from([0.3, 0.5, 0.7, 1.0]),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_the_same_rows_for_any_texts(texts: list[str], threshold: float, few: int, parts: int) -> None:
    values = [{"text": text} for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(join, "FEW", few)
        patch.setattr(crowds, "NEIGHBOURS", 2)
        patch.setattr(crowds, "SAMPLE", 6)
        patch.setattr(spread, "PIECE", 9)
        options: dict[str, Any] = {"threshold": threshold, "shingle": 2}
        assert spread_out(values, InParts(parts), **options) == dropped(values, **options)


# ---- in the pipeline


ENGINE = InParts()


@api.engine
def in_parts() -> api.Engine:
    """Shuffles, here."""
    return ENGINE


class Faulty:
    @staticmethod
    def keys(batch: pa.RecordBatch) -> pa.Array:
        return batch.column(rows.ROW)

    @staticmethod
    def work(batch: pa.RecordBatch) -> pa.RecordBatch:
        raise ValueError("odd")

    @staticmethod
    def spread(engine: api.SupportsShuffle, keys: pa.Array, numbers: pa.Array, again: Any) -> api.Dropped:
        list(engine.fetch(engine.hold(Faulty.work, again(rows.integers([0])))))
        raise AssertionError


@api.global_step
def faulty() -> api.GlobalStep:
    """Its work fails."""
    none: Any = None
    return api.GlobalStep(Faulty.keys, scope="all", closer=api.Closer(none, none, none, Faulty.spread))


@pytest.fixture(scope="module")
def known() -> Registry:
    cleaners, engines = {"faulty": faulty}, {"in_parts": in_parts}
    return plug(registry.load(), "spread", ftspec_cleaners=lambda: cleaners, ftspec_engines=lambda: engines)


@pytest.mark.parametrize("before", [[], [{"shuffle": {"seed": 3}}], ["dedupe", {"shuffle": {"seed": 4}}, "dedupe"]])
def test_in_the_pipeline(tmp_path: Path, known: Registry, before: list[Any]) -> None:
    """Also where rows were dropped, or put into another order, earlier in the pass."""
    draw = random.Random(4)
    texts = [" ".join(draw.choices(WORDS, k=40)) for _ in range(30)]
    texts += [f"{text} indeed" for text in texts[:9]] + texts[:5]
    write(tmp_path, [{"text": text, "label": "a"} for text in texts])
    cleaning = [*before, {"near_dedupe": {"columns": ["text"]}}]
    made = []
    for engine in ("threads", "in_parts"):
        earlier = ENGINE.shuffles
        out = tmp_path / engine
        prepare(spec_of(tmp_path, cleaning=cleaning, engine=item("engine", engine)), out, known)
        made.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
        assert (ENGINE.shuffles > earlier) == (engine == "in_parts")
    assert made[0] == made[1]


def test_an_error_of_the_steps_own_work_names_it(
    tmp_path: Path, known: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "load", lambda: known)  # what a worker has installed
    write(tmp_path, [{"text": "a", "label": "a"}])
    with pytest.raises(PluginError, match=r"cleaning step 'faulty' of .* failed: ValueError: odd"):
        prepare(spec_of(tmp_path, cleaning=["faulty"], engine=item("engine", "in_parts")), known=known)
