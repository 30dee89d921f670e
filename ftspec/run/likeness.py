"""The training rows that are most like a failed case: a hint why it may have failed.

Likeness is rapidfuzz's token set ratio of what was asked: shared words count, in whatever order, and what one side says
beyond the other costs little. It knows nothing of meaning, and says nothing about cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ftspec import rows
from ftspec.common.messages import Message
from ftspec.data import origins
from ftspec.data.spool import read_rows
from ftspec.report.data import Case, Near
from ftspec.report.text import content, shortened

if TYPE_CHECKING:
    import pyarrow as pa

CASES = 200
"""So many failed cases at the most are looked at, the first ones,"""
ROWS = 20_000
"""and so many training rows, from the first on: that is some seconds."""
MOST = 2
"""Rows that are told of each."""
LEAST = 50.0
"""What is less alike than this, of 100, is not near."""
LONGEST = 1000
"""Characters of a text that are compared and kept."""


def with_nearest(cases: Sequence[Case], rows_at: Path, origins_at: Path) -> tuple[Case, ...]:
    """The cases, failed ones with the training rows nearest to them.

    Args:
        rows_at, origins_at: the folders with the `rows.arrow` and the `origins.arrow` that `pipeline.prepare` left.
    """
    failed = [case for case in cases if case.failed][:CASES]
    if not failed:
        return tuple(cases)
    trained = list(_trained(rows_at))
    places = origins.read(origins_at)
    near = {case.id: tuple(_nearest(case, trained, places)) for case in failed}
    return tuple(msgspec.structs.replace(case, nearest=near.get(case.id, ())) for case in cases)


def _trained(folder: Path) -> Iterator[tuple[int, str, str]]:
    """(row, what is asked, what is answered) of the training rows."""
    count = 0
    for batch in read_rows(folder, ("train",)):
        for example in rows.examples(batch):
            said = [*example.messages, *(example.chosen or ())]
            answer = said[-1] if said[-1].role == "assistant" else None
            yield example.row, asked(said), content(answer.content) if answer else ""
            count += 1
            if count == ROWS:
                return


def asked(messages: Sequence[Message]) -> str:
    """The last message of the user, as far as it is compared."""
    spoken = [message for message in messages if message.role == "user"] or list(messages)
    return content(spoken[-1].content)[:LONGEST] if spoken else ""


def _nearest(case: Case, trained: Sequence[tuple[int, str, str]], places: pa.Table) -> Iterator[Near]:
    from rapidfuzz import fuzz, process

    texts = [text for _, text, _ in trained]
    found = process.extract(asked(case.messages), texts, scorer=fuzz.token_set_ratio, limit=MOST, score_cutoff=LEAST)
    for text, score, index in found:
        row, _, answer = trained[index]
        place = places.slice(row - 1, 1).to_pylist()[0]
        said = shortened(f"{text}\n→ {answer}" if answer else text, LONGEST)
        yield Near(origin=f"{place['file']}:{place['line']}", text=said, similarity=score / 100)
