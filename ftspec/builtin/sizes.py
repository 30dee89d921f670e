"""How long a row may be, in characters or in tokens of the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin import counting
from ftspec.builtin.columns import Columns, put

if TYPE_CHECKING:
    import pyarrow as pa

    Sizes = Callable[[pa.RecordBatch], pa.Array]
    Cut = Callable[[str], str]


def length_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """The smallest length must not be above the largest; what is cut is one column, to a length."""
    if options["max"] is not None and options["min"] > options["max"]:
        yield ("min",), f"min ({options['min']}) is above max ({options['max']}): every row would be dropped"
    if options["max"] is None and not options["min"] and options["over"] == "drop":
        yield (), "says neither `min` nor `max`, so no row is too short or too long"
    if options["over"] != "drop" and options["max"] is None:
        yield ("over",), f"`over: {options['over']}` needs a `max`"
    if options["over"] == "truncate" and len(options["columns"]) > 1:
        yield ("columns",), "only one column can be truncated: it is not said which of several would be cut"


@api.batch_step(rules=[length_rule], code=["ftspec.builtin.columns", "ftspec.builtin.counting"])
def length(
    *,
    columns: Columns = [],
    min: Annotated[int, Meta(ge=0)] = 0,
    max: Annotated[int, Meta(ge=1)] | None = None,
    unit: Annotated[Literal["characters", "tokens"], Meta(description="What is counted.")] = "characters",
    over: Annotated[Literal["drop", "truncate", "fail"], Meta(description="What becomes of longer rows.")] = "drop",
    under: Annotated[Literal["drop", "fail"], Meta(description="What becomes of shorter rows.")] = "drop",
    tuner: api.Tuner,
) -> api.BatchStep:
    """Drop rows with fewer than `min` or more than `max` characters or tokens, over all `columns` together.

    Without `columns`, the contents of `messages` count (and of the answers of a preference pair), or every text column
    of rows that have none.

    With `unit: tokens` the tokenizer is that of the model to be tuned, and a row of `messages` is counted as training
    sees it, with tools, tool calls and what the chat template adds: what passes is not too long for the tuner. Columns
    are counted by their texts alone. A row that is short enough by its bytes is not counted at all.

    `over: truncate` shortens: of `messages` the oldest turns go, whole, until the row fits. A turn is a user's message
    and all that follows on it, so that tool calls stay together with their results; system messages at the beginning
    stay, and so does the last turn. A row whose last turn is too long by itself is dropped: no message is ever cut. Of
    rows of columns the one column of `columns` is cut at its end.
    """
    tokenizer = _tokenizer(tuner) if unit == "tokens" else None
    sizes = counting.tokens(tokenizer, columns, min, max) if tokenizer else counting.characters(columns, min, max)
    cut = (lambda text: tokenizer.cut(text, max or 0)) if tokenizer else (lambda text: text[:max])

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow.compute as pc

        total = sizes(batch)
        batch = _judged(batch, pc.less(total, rows.scalar(min)), f"under {min} {unit}", under)
        if max is None:
            return batch
        longer = pc.greater(total, rows.scalar(max))
        if over == "truncate" and pc.any(longer).as_py():
            batch = _truncated(batch, longer, columns, sizes, max, cut)
            longer = pc.greater(sizes(batch), rows.scalar(max))
        return _judged(batch, longer, f"over {max} {unit}", "fail" if over == "fail" else "drop")

    return step


def _tokenizer(tuner: api.Tuner) -> api.Tokenizer:
    found = tuner.tokenizer()
    if found is None:
        raise api.FtspecError(
            "cleaning step 'length': the model's tokenizer cannot be had on this machine",
            "count in characters, or install what the provider counts tokens with: see its README",
        )
    return found


def _judged(batch: pa.RecordBatch, mask: pa.Array, reason: str, what: str) -> pa.RecordBatch:
    """Drop the rows of the mask, or raise DataError for them."""
    if what == "drop":
        return rows.drop(batch, mask, reason)
    numbers = batch.column(rows.ROW).filter(mask).to_pylist()
    if numbers:
        hint = "shorten or drop such rows before, or let this step drop them"
        raise api.DataError([api.Finding(message=f"the row is {reason}", hint=hint, row=number) for number in numbers])
    return batch


def _truncated(
    batch: pa.RecordBatch, longer: pa.Array, columns: list[str], sizes: Sizes, most: int, cut: Cut
) -> pa.RecordBatch:
    """The batch with its longer rows made shorter, where that can be."""
    import pyarrow.compute as pc

    name = columns[0] if columns else "messages"
    there = rows.column(batch, name)
    if there.type == rows.MESSAGES:
        return _without_turns(batch, name, longer, sizes, most)
    if not columns:
        raise api.FtspecError(
            "cleaning step 'length': `over: truncate` cuts one column, and it is not said which",
            "name it, e.g. `columns: [text]`",
        )
    texts = rows.as_text(there)
    short = rows.strings([cut(text) for text in texts.filter(longer).to_pylist()])
    return put(batch, name, pc.replace_with_mask(texts, longer, short))


def _without_turns(batch: pa.RecordBatch, name: str, longer: pa.Array, sizes: Sizes, most: int) -> pa.RecordBatch:
    """Longer rows without their oldest turns; all of them lose one turn at a time, until they fit or one is left."""
    import pyarrow.compute as pc

    said = rows.values(batch, name)
    waiting = [index for index, is_longer in enumerate(longer.to_pylist()) if is_longer]
    while waiting:
        waiting = [index for index in waiting if _turn_less(said, index)]
        if not waiting:
            break
        some = put(batch, name, rows.cell("messages", said)).take(rows.integers(waiting))
        fits = pc.less_equal(sizes(some), rows.scalar(most)).to_pylist()
        waiting = [index for index, enough in zip(waiting, fits, strict=True) if not enough]
    return put(batch, name, rows.cell("messages", said))


def _turn_less(said: list[Any], index: int) -> bool:
    """Take the oldest turn out of the row's messages, unless it is the last one; whether that could be."""
    messages = said[index]
    starts = [place for place, message in enumerate(messages) if message.get("role") == "user"]
    if len(starts) < 2:
        return False
    said[index] = messages[: starts[0]] + messages[starts[1] :]
    return True


COMPONENTS: dict[str, api.Component] = {"length": length}
