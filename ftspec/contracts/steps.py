"""What the factories of sources, cleaning steps, formats and checks return: functions over rows and batches of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ftspec.common.errors import Finding
from ftspec.common.records import Record
from ftspec.contracts.engine import SupportsShuffle

if TYPE_CHECKING:
    import pyarrow as pa


class Chunk(NamedTuple):
    """Rows as a source read them: `lines[i]` is the 1-based line (or row) of `origin` that row i came from.

    `checked` says that `batch.validate(full=True)` has passed: core does not look again for text that is not UTF-8.
    """

    batch: pa.RecordBatch
    origin: str
    lines: Sequence[int]
    checked: bool = False


class Source(NamedTuple):
    """What a source factory returns. `read` yields Chunks, and a Finding for each line that is not a row.

    `fingerprint` names the content where it is not in a Path option (a revision, an ETag): it goes into the plan.
    """

    read: Callable[[], Iterator[Chunk | Finding]]
    fingerprint: Callable[[], str] | None = None


BatchStep = Callable[["pa.RecordBatch"], "pa.RecordBatch"]
"""Rows in, an ordered subset of them out (columns may change; `_row` and the other hidden columns stay)."""


RowStep = Callable[[dict[str, Any]], dict[str, Any] | None]
"""One row in, the row to keep or None to drop it. Convenient, and slower: rows are converted to dicts and back."""


class Text(NamedTuple):
    """What a text step returns: text to text, on every text of a row that `prefilter` (an RE2 pattern) finds.

    `prefilter` may also be a function: of an array of texts it tells the places of those worth a call, in order, and
    for each a number that `function` gets as its second argument. Texts inside JSON values it gets without one.
    `nested` says whether it also works on texts inside JSON values: the arguments of tool calls, lists and objects.
    `of_row`, where a text's fate depends on the row's other texts, is called once per row that has a text worth a call,
    and its result takes the place of `function` for that row's texts, in one order however rows are cut into batches.
    With `beyond_ascii` texts of ASCII alone are passed by, which is seen much faster than a pattern is searched.
    `arrays` does to an array of texts, with Arrow's kernels, what `function` does to one, and is used where it can be.
    """

    function: Callable[..., str]
    prefilter: str | Callable[[pa.Array], Mapping[int, int]] | None = None
    nested: bool = True
    of_row: Callable[[], Callable[..., str]] | None = None
    beyond_ascii: bool = False
    arrays: Callable[[pa.Array], pa.Array] | None = None


class Dropped(NamedTuple):
    """Rows to drop, by `_row` number, and for each the row that is the reason (or itself).

    `findings` are what the step has to say of all rows together; with scope "key" and many rows it is never asked."""

    rows: pa.Array
    because: pa.Array
    findings: Sequence[Finding] = ()


Again = Callable[["pa.Array"], "Iterator[pa.RecordBatch]"]
"""Rows at these places once more: see Closer."""


class Closer(NamedTuple):
    """A second look of a global step: at some rows, whole again, once all keys are known.

    Args:
        wanted: (all keys, their rows) → the rows worth a closer look, by number, in any order.
        details: a batch of such rows → one value per row. Called in parallel, on batches cut anyhow.
        reduce: (all keys, their rows, the rows looked at, their details) → what to drop. The rows looked at are in the
            order in which the step gets its rows.
        spread: (the engine, all keys, their rows, again) → the same, where the engine is one that shuffles: instead of
            the other three, so that no process has to hold or to compare the whole. Keys come as they lie with the
            driver, for this to send them out; `again` makes batches of the rows at these places among the keys, each
            with its place in the column `_place`, in any order.
    """

    wanted: Callable[[pa.Array, pa.Array], pa.Array]
    details: Callable[[pa.RecordBatch], pa.Array]
    reduce: Callable[[pa.Array, pa.Array, pa.Array, pa.Array], Dropped]
    spread: Callable[[SupportsShuffle, pa.Array, pa.Array, Again], Dropped] | None = None


class GlobalStep(NamedTuple):
    """A step that must see every row: keys per batch (in parallel), then one reduction.

    Args:
        keys: a batch → one key per row (or a list of keys per row).
        reduce: (all keys, their rows) → what to drop; None drops nothing. Rows come in the order in which the step gets
            them, which after a step that sorts is not that of their numbers; and only those that earlier steps kept.
            Arrays may lie on disk (memory-mapped), and be of the large variant of their type: use Arrow's kernels.
        scope: "key" promises that a reduction compares equal keys only, so that it may be run on parts of the rows:
            all rows of a key are in one part, in their order. Keys that are lists are never parted.
        reason: what the ledger says of a dropped row.
        closer: a second look, in `reduce`'s place.
        sort: rows leave in ascending order of their keys (no lists); those of equal keys, and of none at the end, as
            they came.
    """

    keys: Callable[[pa.RecordBatch], pa.Array]
    reduce: Callable[[pa.Array, pa.Array], Dropped] | None = None
    scope: Literal["key", "all"] = "key"
    reason: str = "dropped"
    closer: Closer | None = None
    sort: bool = False


class Reference(NamedTuple):
    """Rows that others are compared with, and where each stands (`file:line`)."""

    batch: pa.RecordBatch
    origins: Sequence[str]


class Screen(NamedTuple):
    """A step that compares rows with other ones, which core reads before the first row is cleaned.

    Args:
        learn: the evaluation's prompts, and the rows of `files` → what the step has to know of them; it is pickled, and
            sent to every worker. Prompts come as the steps before this one leave them; `_side` says which they are.
        step: (what was learned, a batch) → an ordered subset of its rows.
        files: of further rows, absolute paths: JSON lines, JSON, CSV, Excel or Parquet. They come as they are, on the
            side "".
        prompts: whether the evaluation's prompts are read.
    """

    learn: Callable[[Iterable[Reference]], Any]
    step: Callable[[Any, pa.RecordBatch], pa.RecordBatch]
    files: Sequence[str] = ()
    prompts: bool = True


Format = Callable[["pa.RecordBatch"], "pa.RecordBatch"]
"""Rows of columns in, rows of the format's shape out: see ftspec.rows. Raises DataError by row."""


class Check(NamedTuple):
    """Measured per batch, in parallel; judged once, over a sequence of what was measured.

    Measures (which must be picklable) wait on disk: the sequence reads one whenever it is looked at.
    Batches hold the columns of their shape and the hidden ones. With `before_format` they hold the columns that the
    cleaning left, of every row that reaches the format. `weigh` judges what was written: size, tokens, cost.
    """

    measure: Callable[[pa.RecordBatch], Any]
    judge: Callable[[Any], Iterable[Finding]]
    before_format: bool = False
    weigh: Callable[[Weighed], Iterable[Finding]] | None = None


class Weighed(Record):
    """What was prepared, by size and price. None where it cannot be told; `basis` says how the cost was reckoned.

    Tokens and bytes are those of the training file, once; `cost` is that of tuning with its `epochs`; `bound`: at most.
    """

    rows: int
    validation_rows: int = 0
    bytes: int | None = None
    validation_bytes: int | None = None
    tokens: int | None = None
    trained_tokens: int | None = None
    epochs: float | None = None
    cost: float | None = None
    currency: str = ""
    bound: bool = False
    basis: str = ""
