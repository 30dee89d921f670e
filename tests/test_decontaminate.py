"""Training rows that hold what the evaluation asks."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet
import pytest
from test_cleaners import batch_of, chat
from test_pipeline import item, prepare, spec_of, write

from ftspec import api, rows
from ftspec.builtin.contamination import decontaminate
from ftspec.common.errors import DataError
from ftspec.data import ledger
from ftspec.spec import Eval, Mix, Split

draw = random.Random(11)
WORDS = [f"word{number}" for number in range(5000)]


def text(count: int) -> str:
    return " ".join(draw.choices(WORDS, k=count))


def dropped(training: list[dict[str, Any]], prompts: list[dict[str, Any]], **options: Any) -> dict[int, str]:
    step = decontaminate.build(options)
    asked = batch_of(prompts)
    asked = asked.set_column(asked.schema.get_field_index(rows.SIDE), rows.SIDE, rows.repeated("prompt", len(prompts)))
    learned = step.learn([api.Reference(asked, [f"evals.jsonl:{at}" for at in range(1, len(prompts) + 1)])])
    after = step.step(pickle.loads(pickle.dumps(learned)), batch_of(training))
    reasons = rows.column(after, rows.REASON).to_pylist()
    return {number: reason for number, reason in enumerate(reasons, 1) if reason}


def test_thirteen_words_in_a_row_are_an_overlap() -> None:
    asked = [text(40), text(30)]
    words = asked[1].split()
    training = [
        text(60),
        f"{text(10)} {' '.join(words[5:18])} {text(9)}",
        f"{text(10)} {' '.join(words[5:17])} {text(9)}",
    ]
    assert dropped([{"text": each} for each in training], [{"text": each} for each in asked]) == {
        2: "overlap ← evals.jsonl:2"
    }
    shorter = dropped([{"text": each} for each in training], [{"text": each} for each in asked], words=12)
    assert list(shorter) == [2, 3]


def test_case_punctuation_and_column_do_not_count() -> None:
    asked = text(20)
    said = f"He asked: “{asked.upper().replace(' ', ', ')}”!"
    assert list(dropped([{"body": said}, chat("hello", said)], [{"question": asked}])) == [1, 2]
    assert list(dropped([{"body": said, "more": "x"}], [{"question": asked}], columns=["more"])) == []


def test_scripts_without_spaces() -> None:
    asked = "我们昨天收到了您的订单但是包裹到达的时候已经损坏"
    assert list(dropped([{"t": f"您好{asked[3:16]}吗"}, {"t": f"您好{asked[3:15]}吗"}], [{"t": asked}])) == [1]


def test_short_texts_count_as_a_whole_and_very_short_ones_not() -> None:
    nine, four = text(9), text(4)
    training = [{"t": nine}, {"t": f"{nine} more"}, {"t": four}]
    assert list(dropped(training, [{"t": nine}, {"t": four}])) == [1]
    assert list(dropped(training, [{"t": four}], words=4)) == [3]


def test_templates_and_system_messages_are_no_overlap() -> None:
    template = text(20)
    asked = [{"t": f"{template} {text(15)}"} for _ in range(5)]
    assert list(dropped([{"t": f"{template} {text(15)}"}, asked[2]], asked)) == [2]
    system = {"role": "system", "content": text(30)}

    def said(question: str) -> dict[str, Any]:
        return {"messages": [system, {"role": "user", "content": question}]}

    question = text(20)
    assert list(dropped([said(text(20)), said(question)], [said(question)])) == [2]


def test_only_training_rows_go() -> None:
    asked = text(20)
    step = decontaminate.build({})
    batch = batch_of([{"t": asked}] * 4)
    sides = rows.strings(["train", "validation", "test", "prompt"])
    batch = batch.set_column(batch.schema.get_field_index(rows.SIDE), rows.SIDE, sides)
    for side, gone in (("prompt", [1, 2]), ("validation", [1])):
        prompt = batch.slice(3).set_column(batch.schema.get_field_index(rows.SIDE), rows.SIDE, rows.strings([side]))
        after = step.step(step.learn([api.Reference(prompt, ["a:1"])]), batch)
        marks = after.column(rows.REASON).to_pylist()
        assert [number for number, mark in enumerate(marks, 1) if mark] == gone


def asking(prompts: tuple[Any, ...]) -> Eval:
    return Eval(prompts=prompts, graders=())


def test_in_the_pipeline(tmp_path: Path) -> None:
    asked = [text(20) for _ in range(3)]
    write(tmp_path, [{"text": f"  {asked[1]} ", "label": "a"}, *({"text": text(30), "label": "b"} for _ in range(20))])
    write(tmp_path, [{"text": each, "label": "a"} for each in asked], "evals.jsonl")
    prompts = item("source", {"jsonl": {"path": "evals.jsonl"}}, ("eval", "prompts", 0))
    result = prepare(spec_of(tmp_path, cleaning=["strip", "decontaminate"], eval=asking((prompts,))))
    counts = {count.name: count for count in result.counts}
    assert counts["decontaminate"].reasons == {"overlap": 1}
    assert result.sides["prompt"] == 3
    (gone,) = ledger.lives(tmp_path / "out", "data.jsonl", 1)
    assert gone.reason == "overlap ← evals.jsonl:2"
    with pytest.raises(DataError) as caught:
        prepare(spec_of(tmp_path, cleaning=[{"decontaminate": {"action": "fail"}}], eval=asking((prompts,))))
    (found,) = caught.value.findings
    assert (found.file, found.line) == ("data.jsonl", 1)
    assert "evals.jsonl:2" in found.message


def test_against_the_side_of_the_split_that_is_asked(tmp_path: Path) -> None:
    values = [{"text": text(30), "label": "b"} for _ in range(40)]
    write(tmp_path, [*values, *({"text": f"{each['text']} {text(3)}", "label": "a"} for each in values)])
    spec = spec_of(tmp_path, split=Split(test=0.3, seed=1), cleaning=["decontaminate"], eval=asking(("test",)))
    result = prepare(spec)
    (count,) = (count for count in result.counts if count.name == "decontaminate")
    assert 0 < count.reasons["overlap"] < 40
    assert result.sides["prompt"] == result.sides["test"] == 80 - count.reasons["overlap"] - result.sides["train"]


@pytest.mark.parametrize("name", ["known.jsonl", "known.csv", "known.tsv", "known.parquet"])
def test_against_files(tmp_path: Path, name: str) -> None:
    asked = text(20)
    write(tmp_path, [{"text": f"so {asked}", "label": "a"}, *({"text": text(30), "label": "b"} for _ in range(20))])
    if name.endswith("jsonl"):
        write(tmp_path, [{"question": "x"}, {"question": asked}], name)
    elif name.endswith("csv"):
        (tmp_path / name).write_text(f"question\nx\n{asked}\n")
    elif name.endswith("tsv"):
        (tmp_path / name).write_text(f"id\tquestion\n1\tx\n2\t{asked}\n")
    else:
        pa.parquet.write_table(pa.table({"question": ["x", asked]}), tmp_path / name)
    spec = spec_of(tmp_path, cleaning=[{"decontaminate": {"files": [name], "prompts": False}}])
    prepare(spec)
    (gone,) = ledger.lives(tmp_path / "out", "data.jsonl", 1)
    assert gone.reason.startswith(f"overlap ← {name}:")


def test_nothing_to_compare_with_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, [{"text": text(30), "label": "b"}])
    with pytest.raises(DataError) as caught:
        prepare(spec_of(tmp_path, cleaning=["decontaminate"]))
    assert "no prompts to compare with" in caught.value.findings[0].message


def test_rows_that_a_mixture_does_not_reach_are_no_prompts(tmp_path: Path) -> None:
    values = [{"text": text(30), "label": "b"} for _ in range(40)]
    write(tmp_path, [*values, *({"text": f"{each['text']} {text(3)}", "label": "a"} for each in values)])
    spec = spec_of(tmp_path, split=Split(test=0.3, seed=1), cleaning=["decontaminate"], eval=asking(("test",)))
    result = prepare(msgspec.structs.replace(spec, mix=Mix(until=40)))
    (count,) = (count for count in result.counts if count.name == "decontaminate")
    assert count.rows_in == 40 and not count.reasons
