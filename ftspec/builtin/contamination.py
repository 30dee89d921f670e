"""Training rows that hold what the evaluation asks: a model that has seen the questions proves nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from msgspec import Meta

from ftspec import api, compiled, rows
from ftspec.builtin.columns import Columns
from ftspec.builtin.near import texts
from ftspec.builtin.near import words as word

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

CODE = ["ftspec.builtin.columns", "ftspec.builtin.near.texts", "ftspec.builtin.near.words", *compiled.CODE]
LEAST = 8
"""Words of a text that is compared as a whole because it is shorter than an n-gram (GPT-3's smallest N)."""
OFTEN, SHARE, FEW = 10, 0.1, 2
"""An n-gram in more than 10 prompts (GPT-3's bound), or than a tenth of them, but at least two, is a template's."""
FILTER_BITS = 22
SPOKEN = ("user", "assistant", "tool")
NGRAM = Meta(ge=3, le=100, description="Words (characters in scripts without spaces) in a row that must be the same.")


class Known(NamedTuple):
    """The prompts' n-grams: sorted hashes, and for each the number of the first prompt that has it, by `origins`."""

    ngrams: NDArray[np.uint64]
    prompts: NDArray[np.int64]
    origins: list[str]
    sides: tuple[str, ...]


@api.screen_step(code=CODE)
def decontaminate(
    *,
    files: Annotated[
        list[api.Path], Meta(description="Further prompts: JSON lines, JSON, CSV, Excel or Parquet.")
    ] = [],
    words: Annotated[int, NGRAM] = 13,
    action: Literal["drop", "fail"] = "drop",
    prompts: Annotated[bool, Meta(description="Whether the evaluation's own prompts count.")] = True,
    columns: Columns = [],
) -> api.Screen:
    """Drop training rows that share `words` words in a row with a prompt of the evaluation, or with a row of `files`.

    Words are compared without regard to case and punctuation, 13 of them as in GPT-3 (Brown et al. 2020, appendix C). A
    text of fewer counts as a whole if it has at least 8. What stands in more than 10 prompts, or in more than a tenth
    of them (and in 3), is a template and no overlap. System messages are not compared. The ledger names the prompt by
    file and line. With `action: fail` such rows are errors.
    """
    return api.Screen(
        learn=partial(_learn, size=words),
        step=partial(_screened, size=words, fails=action == "fail", columns=tuple(columns)),
        files=files,
        prompts=prompts,
    )


def _learn(references: Iterable[api.Reference], size: int) -> Known:
    """Raises DataError where there is nothing to compare with."""
    import numpy as np

    origins: list[str] = []
    sides: set[str] = set()
    hashes: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
    owners: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for batch, places in references:
        sides.update(rows.column(batch, rows.SIDE).drop_null().unique().to_pylist())
        for at, found in _ngrams(batch, (), size):
            hashes.append(found)
            owners.append(at + len(origins))
        origins.extend(places)
    if not origins:
        hint = "name prompts under `eval`, or `files` of the step"
        raise api.DataError([api.Finding(message="step 'decontaminate' has no prompts to compare with", hint=hint)])
    values, first = _rare(np.concatenate(hashes), np.concatenate(owners), len(origins))
    return Known(values, first, origins, tuple(sorted(sides)))


def _rare(
    values: NDArray[np.uint64], owners: NDArray[np.int64], prompts: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Each n-gram that is no template's, and the first prompt that has it."""
    import numpy as np

    if len(values) == 0:
        return values, owners
    order = np.lexsort((owners, values))
    values, owners = values[order], owners[order]
    same = values[1:] == values[:-1]
    repeated = np.concatenate([[False], same & (owners[1:] == owners[:-1])])
    values, owners = values[~repeated], owners[~repeated]
    unique, first, often = np.unique(values, return_index=True, return_counts=True)
    kept = often <= max(FEW, min(OFTEN, int(SHARE * prompts)))
    return unique[kept], owners[first[kept]]


def _screened(
    known: Known, batch: pa.RecordBatch, *, size: int, fails: bool, columns: tuple[str, ...]
) -> pa.RecordBatch:
    import pyarrow.compute as pc

    overlaps = _overlaps(known, batch, size, columns)
    trained = rows.strings(sorted({"train", "validation"} - set(known.sides)))
    looked_at = pc.is_in(rows.column(batch, rows.SIDE), value_set=trained)
    overlaps = {at: overlaps[at] for at in sorted(overlaps) if looked_at[at].as_py()}
    if overlaps and fails:
        raise api.DataError([_finding(batch, at, size, origin) for at, origin in overlaps.items()])
    if not overlaps:
        return batch
    reasons = [f"overlap ← {overlaps[at]}" if at in overlaps else None for at in range(batch.num_rows)]
    return batch.append_column(rows.REASON, rows.strings(reasons))


def _finding(batch: pa.RecordBatch, at: int, size: int, origin: str) -> api.Finding:
    message = f"shares {size} words in a row, or a whole text, with {origin}, a prompt"
    hint = "take the row or the prompt out, or let the step drop it"
    return api.Finding(message=message, hint=hint, row=batch.column(rows.ROW)[at].as_py())


def _overlaps(known: Known, batch: pa.RecordBatch, size: int, columns: tuple[str, ...]) -> dict[int, str]:
    """By index of the row: the prompt that it overlaps, the first one of those that its first such text does."""
    import numpy as np

    found: dict[int, str] = {}
    if len(known.ngrams) == 0:
        return found
    flags: NDArray[np.bool_] = np.zeros(1 << FILTER_BITS, np.bool_)
    flags[(known.ngrams >> np.uint64(64 - FILTER_BITS)).astype(np.int64)] = True
    for owner, hashes in _ngrams(batch, columns, size):
        possible = np.flatnonzero(flags[(hashes >> np.uint64(64 - FILTER_BITS)).astype(np.int64)])
        at = np.minimum(np.searchsorted(known.ngrams, hashes[possible]), len(known.ngrams) - 1)
        same = known.ngrams[at] == hashes[possible]
        for index, prompt in zip(owner[possible[same]].tolist(), known.prompts[at[same]].tolist(), strict=True):
            found.setdefault(index, known.origins[prompt])
    return found


def _ngrams(
    batch: pa.RecordBatch, columns: tuple[str, ...], size: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """(index of the row, n-gram) of all texts, column by column; no n-gram spans two texts."""
    import numpy as np

    for _, read in texts.of_batch(batch, columns, SPOKEN):
        for start, end, found in word.blocks(read):
            counts = np.diff(found.offsets)
            made = word.shingles(found, size)
            long: NDArray[np.bool_] = np.repeat(counts >= min(LEAST, size), np.diff(made.offsets))
            of_text = np.repeat(np.arange(len(counts)), np.diff(made.offsets))[long]
            bounds = read.offsets[start : end + 1] - read.offsets[start]
            yield np.searchsorted(bounds, of_text, "right") - 1 + start, made.values[long]


COMPONENTS: dict[str, api.Component] = {"decontaminate": decontaminate}
