"""answers.parquet beside the report: every graded answer of every model, for whoever wants to look further.

One row per answer, the rows of a prompt together within its model. `grades` is JSON: {grader: {passed, score, reason}}.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec.common.errors import FtspecError
from ftspec.common.evaluation import Grade
from ftspec.common.messages import Answer, Prompt
from ftspec.common.records import Record
from ftspec.common.references import mask
from ftspec.grading.grade import Answered, Graded
from ftspec.layout.arrays import booleans, floats, integers, strings

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "answers.parquet"
BATCH = 2000
"""Rows that are held while writing or reading."""


class Row(Record):
    """One graded answer. `asked` is the prompt's last message; `tool_calls` is JSON text."""

    model: str
    prompt: str
    repeat: int
    passed: bool
    error: str = ""
    text: str = ""
    tool_calls: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None
    cost: float | None = None
    grades: str = "{}"
    asked: str = ""
    expected: str | None = None
    origin: str = ""
    tags: list[str] = []
    weight: float = 1.0

    @property
    def graded(self) -> Graded:
        """The verdict, as it was."""
        grades = msgspec.json.decode(self.grades, type=dict[str, Grade])
        return Graded(prompt=self.prompt, repeat=self.repeat, passed=self.passed, grades=grades, error=self.error)

    @property
    def answer(self) -> Answer:
        """The answer, without what was masked in it."""
        return Answer(
            prompt=self.prompt,
            repeat=self.repeat,
            text=self.text,
            tool_calls=msgspec.json.decode(self.tool_calls) if self.tool_calls else None,
            finish_reason=self.finish_reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            seconds=self.seconds,
            cost=self.cost,
            error=self.error,
        )


def write(folder: Path, prompts: Sequence[Prompt], answered: Mapping[str, Answered]) -> Path:
    """Write the file whole, secrets masked; `answered` is by the model's label."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    staged = folder / f".{FILE}.{os.getpid()}"
    schema = _schema(pa)
    with pq.ParquetWriter(staged, schema, compression="zstd") as writer:
        found = (row for label, given in answered.items() for row in rows(label, prompts, given))
        while batch := list(islice(found, BATCH)):
            columns = {name: [getattr(one, name) for one in batch] for name in schema.names}
            arrays = [_array(schema.field(name).type, values) for name, values in columns.items()]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
    staged.replace(folder / FILE)
    return folder / FILE


def read(folder: Path) -> Iterator[Row]:
    """Every row, few of them held at a time. Raises FtspecError where there is no such file, or it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / FILE
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                yield from msgspec.convert(batch.to_pylist(), list[Row])
    except (OSError, pa.ArrowException, msgspec.ValidationError) as error:
        raise FtspecError(f"{path} cannot be read: {error}", "`ftspec run --again report` writes it anew") from error


def rows(label: str, prompts: Iterable[Prompt], answered: Answered) -> Iterator[Row]:
    """One model's rows, in the prompts' order and then by repeat."""
    for prompt, given in answered.by_prompt(prompts):
        yield from (row(label, prompt, answer, graded) for answer, graded in given)


def row(label: str, prompt: Prompt, answer: Answer, graded: Graded) -> Row:
    """One answer of the model of this label, with what its graders said."""
    return Row(
        model=label,
        prompt=prompt.id,
        repeat=answer.repeat,
        passed=graded.passed,
        error=graded.error,
        text=answer.text,
        tool_calls=_json(answer.tool_calls),
        finish_reason=answer.finish_reason,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        seconds=answer.seconds,
        cost=answer.cost,
        grades=_json(graded.grades) or "{}",
        asked=_text(prompt.messages[-1].content) if prompt.messages else "",
        expected=prompt.expected,
        origin=prompt.origin,
        tags=list(prompt.tags),
        weight=prompt.weight,
    )


def _array(kind: pa.DataType, values: list[Any]) -> pa.Array:
    """A column; in texts secrets are masked. (`pa.array` would import pandas, where it is installed.)"""
    import pyarrow as pa

    if pa.types.is_list(kind):
        ends = integers([0, *accumulate(map(len, values))]).cast(pa.int32())
        return pa.ListArray.from_arrays(ends, _array(kind.value_type, list(chain.from_iterable(values))))
    if pa.types.is_boolean(kind):
        return booleans(values)
    if pa.types.is_integer(kind):
        return integers(values).cast(kind)
    if pa.types.is_floating(kind):
        return floats(values)
    masking = mask.now()
    masked = {value: value and masking(value) for value in set(values)}
    return strings([masked[value] for value in values])


def _text(content: Any) -> str:
    return content if isinstance(content, str) else _json(content)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode() if value else ""


def _schema(pa: Any) -> pa.Schema:
    kinds = {"repeat": pa.int32(), "prompt_tokens": pa.int64(), "completion_tokens": pa.int64(), "passed": pa.bool_()}
    kinds |= {"seconds": pa.float64(), "cost": pa.float64(), "weight": pa.float64(), "tags": pa.list_(pa.string())}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in Row.__struct_fields__])
