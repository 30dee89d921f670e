"""Near-duplicates: what a word is, what is found, and that nothing else goes."""

from __future__ import annotations

import itertools
import random
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cleaners import batch_of, chat
from test_pipeline import prepare, spec_of, write

from ftspec import rows
from ftspec.builtin.dedupe import near_dedupe
from ftspec.builtin.near import crowds, groups, join, minhash, sets, words
from ftspec.builtin.near.duplicates import Near
from ftspec.builtin.recurring import recurring
from ftspec.compiled import characters

WORDS = [f"word{number}" for number in range(20_000)]


def texts_of(values: Sequence[str]) -> words.Texts:
    return words.Texts(rows.strings(list(values)), np.arange(len(values) + 1))


def dropped(values: list[dict[str, Any]], cut: int = 1000, **options: Any) -> dict[int, int]:
    """Row → the row that stays in its place, as the pipeline does it, in batches of `cut` rows."""
    step = near_dedupe.build(options)
    whole = batch_of(values)
    batches = [whole.slice(start, cut) for start in range(0, len(values), cut)]
    keys = pa.concat_arrays([step.keys(batch) for batch in batches])
    numbers = whole.column(rows.ROW)
    wanted = step.closer.wanted(keys, numbers)
    again = [batch.filter(pc.is_in(batch.column(rows.ROW), value_set=wanted)) for batch in batches]
    again = [batch for batch in again if batch.num_rows]
    nothing = pa.nulls(0, pa.large_list(pa.uint64()))
    details = pa.concat_arrays([step.closer.details(batch) for batch in again] or [nothing])
    looked = pa.concat_arrays([batch.column(rows.ROW) for batch in again] or [rows.integers([])])
    found = step.closer.reduce(keys, numbers, looked, details)
    return dict(zip(found.rows.to_pylist(), found.because.to_pylist(), strict=True))


def split(text: str) -> list[str]:
    """The words of a text, one character at a time."""
    found, word = [], ""
    for character in [*pc.utf8_lower(rows.strings([text]))[0].as_py(), " "]:
        kind = kind_of(character)
        if kind == "word":
            word += character
            continue
        found += [word] if word else []
        found += [character] if kind == "alone" else []
        word = ""
    return found


def kind_of(character: str) -> str:
    if character.isascii():
        return "word" if character.isalnum() or character in "#$%&*+-/<=>@^|~" else "apart"
    category, code = unicodedata.category(character), ord(character)
    if category == "So":
        return "alone"
    if category[0] not in "LMNS" and category != "Cn" and code < 0x20000:
        return "apart"
    return "alone" if any(start <= code <= end for start, end in characters.UNSPACED) else "word"


def shingles(text: str, size: int = 5) -> set[tuple[str, ...]]:
    said = split(text)
    return {tuple(said[start : start + size]) for start in range(max(1, len(said) - size + 1))} if said else set()


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


LETTERS = "abcXYZ019 .,-\n\"'äÖß“”—\u3000、。我们用日本語ひらカタไทยที่🙂👍€½İǅ한국어हिन्दी\x00\u00a0Ω𠀀"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.text(LETTERS, max_size=60), st.text(max_size=20)), min_size=1, max_size=8))
def test_words_and_shingles_are_those_that_one_finds_by_hand(values: list[str]) -> None:
    values += ["x" * length for length in (7, 8, 9, 16, 17, 63, 64, 65, 200)]
    ((start, end, found),) = words.blocks(texts_of(values))
    made = words.shingles(found, 3)
    assert (start, end) == (0, len(values))
    names: dict[Any, Any] = {}
    for index, text in enumerate(values):
        hashes = found.values[found.offsets[index] : found.offsets[index + 1]].tolist()
        assert len(hashes) == len(split(text))
        several = made.values[made.offsets[index] : made.offsets[index + 1]].tolist()
        expected = [tuple(split(text)[at : at + 3]) for at in range(max(1, len(hashes) - 2))] if hashes else []
        assert len(several) == len(expected)
        for value, name in [*zip(hashes, split(text), strict=True), *zip(several, expected, strict=True)]:
            assert names.setdefault(value, name) == name
            assert names.setdefault(name, value) == value


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [" ".join(WORDS[:count]) for count in (0, 3, 40, 0, 200, 1)] * 3

    def found() -> list[list[int]]:
        blocks = list(words.blocks(texts_of(values)))
        assert [start for start, _, _ in blocks] == [0, *(end for _, end, _ in blocks[:-1])]
        made = [(words.shingles(hashes, 5), end - start) for start, end, hashes in blocks]
        return [m.values[m.offsets[i] : m.offsets[i + 1]].tolist() for m, count in made for i in range(count)]

    whole = found()
    monkeypatch.setattr(words, "BLOCK_BYTES", 300)
    assert found() == whole
    monkeypatch.setattr(words, "BLOCK_ROWS", 2)
    assert found() == whole


def relative(draw: random.Random, text: str, least: float, most: float) -> str:
    """The text with words replaced until its similarity lies between the bounds."""
    said = text.split()
    while True:
        changed = list(said)
        for at in draw.sample(range(len(said)), max(1, draw.randint(1, len(said) // 20))):
            changed[at] = draw.choice(WORDS)
        if least <= jaccard(text, " ".join(changed)) < most:
            return " ".join(changed)


@pytest.mark.parametrize(("least", "most", "recall"), [(0.7, 0.8, 0.95), (0.8, 0.9, 0.985), (0.55, 0.7, None)])
def test_pairs_at_a_known_similarity(least: float, most: float, recall: float | None) -> None:
    draw = random.Random(7)
    first = [" ".join(draw.choices(WORDS, k=draw.randint(60, 140))) for _ in range(400)]
    pairs = [relative(draw, text, least, most) for text in first]
    gone = dropped([{"text": text} for text in first + pairs])
    if recall is None:
        assert gone == {}
        return
    assert set(gone.items()) <= {(401 + at, 1 + at) for at in range(400)}
    assert len(gone) >= recall * 400


def test_what_bands_find() -> None:
    for threshold in (0.3, 0.5, 0.7, 0.75, 0.8, 0.9, 0.99, 1.0):
        cut = minhash.bands(threshold)
        assert cut.permutations <= minhash.PERMUTATIONS
        assert cut.found(threshold) >= 1 - minhash.MISSED
    assert minhash.bands(0.7).found(0.85) > 0.999


def test_no_threshold_is_taken_that_no_bands_can_be_made_for() -> None:
    assert minhash.bands(0.01).found(0.01) >= 1 - minhash.MISSED
    for threshold in (0.0, 1e-6, 0.009):
        with pytest.raises(msgspec.ValidationError, match=r">= 0\.01"):
            near_dedupe.convert({"threshold": threshold})
    assert near_dedupe.convert({"threshold": 0.01})


def test_a_chain_is_one_group_and_every_row_of_it_has_a_neighbour() -> None:
    draw = random.Random(1)
    said = [draw.choice(WORDS) for _ in range(100)]
    chain = [" ".join(said)]
    for step in range(8):
        said[step * 12] = f"changed{step}"
        chain.append(" ".join(said))
    assert all(jaccard(one, other) >= 0.9 for one, other in itertools.pairwise(chain))
    assert jaccard(chain[0], chain[-1]) < 0.5
    others = [" ".join(draw.choices(WORDS, k=80)) for _ in range(50)]
    gone = dropped([{"text": text} for text in [*others, *chain]])
    assert gone == dict.fromkeys(range(52, 60), 51)


def test_rows_that_share_a_template_are_not_compared_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    exact = sets.jaccard

    def counted(sets: Any, one: Any, other: Any) -> Any:
        nonlocal compared
        compared += len(one)
        return exact(sets, one, other)

    monkeypatch.setattr("ftspec.builtin.near.groups.jaccard", counted)
    draw = random.Random(3)
    template = " ".join(draw.choices(WORDS, k=60))
    texts = [f"{template} {' '.join(draw.choices(WORDS, k=40))}" for _ in range(2000)]
    texts += [relative(draw, text, 0.75, 0.95) for text in texts[:50]]
    gone = dropped([{"text": text} for text in texts])
    assert 45 <= len(gone) <= 50
    assert all(row - because == 2000 for row, because in gone.items())
    assert compared < 10_000
    compared = 0
    nearly = [f"{' '.join(WORDS[:100])} {draw.choice(WORDS)} {draw.choice(WORDS)}" for _ in range(2000)]
    assert dropped([{"text": text} for text in nearly]) == dict.fromkeys(range(2, 2001), 1)
    assert compared < 10_000


Find = Callable[[sets.Sets, float, groups.Groups], None]


def in_one_band(flat: sets.Sets, threshold: float, found: groups.Groups) -> None:
    join.join(flat, np.zeros((len(flat.sizes), 2), np.uint32), threshold, found)


def in_a_crowd(flat: sets.Sets, threshold: float, found: groups.Groups) -> None:
    crowds.join(flat, np.arange(len(flat.sizes)), threshold, found)


@pytest.mark.parametrize("find", [in_one_band, in_a_crowd])
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=25), min_size=2, max_size=40),
    st.sampled_from([0.3, 0.5, 0.7, 0.75, 0.8, 1.0]),
)
def test_groups_are_those_of_all_pairs(find: Find, values: list[list[int]], threshold: float) -> None:
    numbers = [sorted({value * 77_777 for value in each}) for each in values]
    offsets = np.cumsum([0, *map(len, numbers)])
    flat = sets.Sets(np.array([value for each in numbers for value in each], np.uint32), offsets)
    found, expected = groups.Groups(len(numbers)), groups.Groups(len(numbers))
    find(flat, threshold, found)
    for one, first in enumerate(numbers):
        for other, second in enumerate(numbers[:one]):
            shared = len(set(first) & set(second))
            if shared / (len(first) + len(second) - shared) >= threshold:
                expected.join(np.array([one]), np.array([other]))
    assert found.of.tolist() == expected.of.tolist()


def test_sets_that_share_several_bands_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[list[tuple[int, int]]] = []

    def jaccard(flat: sets.Sets, one: Any, other: Any) -> Any:
        compared.append(list(zip(one.tolist(), other.tolist(), strict=True)))
        return sets.jaccard(flat, one, other)

    monkeypatch.setattr(groups, "jaccard", jaccard)
    flat = sets.Sets(np.arange(8, dtype=np.uint32), np.arange(0, 9, 2))
    bands = np.array([[1, 1, 1], [1, 1, 2], [3, 1, 2], [4, 2, 2]], np.uint32)
    join.join(flat, bands, 0.5, groups.Groups(4))
    assert sorted(pair for each in compared for pair in each) == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]


def test_parts_and_chunks_do_not_change_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(5)
    texts = [" ".join(draw.choices(WORDS, k=50)) for _ in range(60)]
    texts += [relative(draw, text, 0.7, 0.95) for text in texts] + [f"{texts[0]} {word}" for word in WORDS[:50]]
    values = [{"text": text} for text in texts]
    whole = dropped(values)
    assert len(whole) > 90
    monkeypatch.setattr(crowds, "PART", 200)
    monkeypatch.setattr(sets, "CHUNK", 100)
    assert dropped(values, cut=7) == whole


@pytest.mark.parametrize(
    "sentence",
    [
        "我们昨天收到了您的订单但是包裹到达的时候已经损坏请尽快告诉我们应该怎么处理这个问题谢谢",
        "昨日注文した商品が届きましたが箱が壊れていましたので交換していただけますかよろしくお願いします",
        "เมื่อวานนี้ฉันได้รับสินค้าที่สั่งซื้อแต่กล่องเสียหายกรุณาแจ้งให้ทราบว่าต้องทำอย่างไรขอบคุณค่ะ",
    ],
    ids=["Chinese", "Japanese", "Thai"],
)
def test_scripts_without_spaces(sentence: str) -> None:
    other = sentence[::-1]
    changed = f"{sentence[:-2]}。"
    assert jaccard(sentence, changed) >= 0.7
    assert dropped([{"text": other}, {"text": sentence}, {"text": changed}]) == {3: 2}


def test_short_and_empty_texts() -> None:
    values = ["yes", "Yes!", "no", "", "  ", "...", "...", "thank you very much", "thank you so much"]
    assert dropped([{"text": text} for text in values]) == {2: 1}
    assert dropped([{"text": None, "n": 1}, {"text": None, "n": 1}]) == {}
    assert dropped([{"text": "2 + 2 = 4"}, {"text": "2 - 2 = 4"}, {"text": "(2 + 2) = 4."}]) == {3: 1}


def test_equal_rows_are_all_found() -> None:
    draw = random.Random(2)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(2, 50))) for _ in range(300)]
    gone = dropped([{"text": text} for text in texts * 3])
    assert gone == {row: (row - 1) % 300 + 1 for row in range(301, 901)}


LONG = " ".join(WORDS[:40])


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 15).map(lambda high: high << 60 | 7), max_size=40))
def test_numbers_that_recur(numbers: list[int]) -> None:
    found = recurring(np.array(numbers, np.uint64)).tolist()
    assert found == sorted(set(found))
    assert set(found) >= {at for at, number in enumerate(numbers) if numbers.count(number) > 1}
    low = [number << len(numbers).bit_length() & (2**64 - 1) for number in numbers]
    assert found == [at for at, number in enumerate(low) if low.count(number) > 1]


def test_messages() -> None:
    values = [chat(LONG, "yes"), chat(LONG, "no"), chat("what else", LONG), {"text": LONG}, {"text": f"{LONG} again"}]
    assert dropped(values) == {2: 1, 3: 1, 5: 4}
    assert dropped([chat(LONG, "yes", label="a"), chat(LONG, "yes", label="b")], columns=["label"]) == {}


def test_tool_calls_are_read_without_their_ids() -> None:
    def called(number: str, arguments: str) -> dict[str, Any]:
        call = {"id": number, "type": "function", "function": {"name": "find", "arguments": arguments}}
        return {"messages": [{"role": "user", "content": "find it"}, {"role": "assistant", "tool_calls": [call]}]}

    values = [called("1", '{"by": "name"}'), called("2", '{"by":"name"}'), called("3", '{"by": "number"}')]
    assert dropped(values) == {2: 1}


def test_swapped_answers_are_no_duplicates() -> None:
    good, bad = " ".join(WORDS[:60]), " ".join(WORDS[60:120])

    def pair(chosen: str, rejected: str) -> dict[str, Any]:
        def said(role: str, text: str) -> list[dict[str, str]]:
            return [{"role": role, "content": text}]

        return {
            "messages": said("user", "why"),
            "chosen": said("assistant", chosen),
            "rejected": said("assistant", rejected),
        }

    values = [pair(good, bad), pair(bad, good), pair(f"{good} so", bad)]
    batch = batch_of(values)
    for name in ("chosen", "rejected"):
        column = rows.from_dicts([{"messages": value[name]} for value in values]).column(0)
        batch = batch.set_column(batch.schema.get_field_index(name), name, column)
    near = Near(0.7, 5)
    keys, details = near.keys(batch), near.details(batch)
    assert near.reduce(keys, batch.column(rows.ROW), *_looked(near, batch, keys, details)).rows.to_pylist() == [3]


def _looked(near: Near, batch: pa.RecordBatch, keys: pa.Array, details: pa.Array) -> tuple[pa.Array, pa.Array]:
    wanted = near.wanted(keys, batch.column(rows.ROW))
    return wanted, details.take(pc.index_in(wanted, value_set=batch.column(rows.ROW)))


def test_a_value_means_the_same_however_batches_are_cut() -> None:
    """A column of texts is a JSON column in a batch where one value is a number."""
    values: list[dict[str, Any]] = [{"a": LONG, "b": 1}, {"a": 7, "b": "x"}, {"a": f"{LONG} x", "b": 2}, {"a": [LONG]}]
    values += [{"a": f"{LONG} y", "b": 3.5}, {"a": [LONG, "z"]}]
    assert dropped(values) == dropped(values, cut=1) == dropped(values, cut=2) == {3: 1, 4: 1, 5: 1, 6: 1}


def test_columns_are_told_apart() -> None:
    assert dropped([{"a": LONG, "b": "x"}, {"a": "x", "b": LONG}]) == {}
    assert dropped([{"a": LONG, "b": "one two"}, {"a": LONG, "b": " ".join(WORDS[99:150])}]) == {}
    assert dropped([{"a": LONG, "b": "one two"}, {"a": LONG, "b": " ".join(WORDS[99:150])}], columns=["a"]) == {2: 1}


def test_in_the_pipeline(tmp_path: Any) -> None:
    draw = random.Random(4)
    texts = [" ".join(draw.choices(WORDS, k=40)) for _ in range(30)]
    values = [{"text": text, "label": "a"} for text in [*texts, f"{texts[3]} indeed", *texts[:2]]]
    write(tmp_path, values)
    result = prepare(spec_of(tmp_path, cleaning=["dedupe", {"near_dedupe": {"threshold": 0.8, "columns": ["text"]}}]))
    counts = {count.name: count for count in result.counts}
    assert counts["dedupe"].reasons == {"duplicate": 2}
    assert counts["near_dedupe"].reasons == {"near-duplicate": 1}
    assert counts["near_dedupe"].samples[0]["origin"].endswith(":31")


def test_kinds_of_characters_are_the_same_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = characters.kinds_of_all()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        assert np.array_equal(characters.kinds_of_all.__wrapped__(), expected)
    (kept,) = (file for file in tmp_path.rglob("*") if file.is_file())
    kept.write_bytes(kept.read_bytes()[:-2])
    assert np.array_equal(characters.kinds_of_all.__wrapped__(), expected)
