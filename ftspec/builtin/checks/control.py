"""The check of control tokens: text that a tokenizer would read as the end of a turn, or the beginning of another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa

WELL_KNOWN = (
    "<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|endoftext|>", "<|endofprompt|>", "<|startoftext|>",
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>",
    "<|python_tag|>", "<|header_start|>", "<|header_end|>", "<|eot|>", "<|system|>", "<|user|>", "<|assistant|>",
    "<|end|>", "<|start|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>", "<|constrain|>",
    "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>",
    "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>",
)  # fmt: skip
"""Of ChatML, OpenAI's encodings (o200k_harmony too), Llama 2 to 4, Phi, Gemma, Mistral, Command and DeepSeek. Tokens
that are ordinary text or HTML elsewhere (`<s>`, `<pad>`) count only where the model's own tokenizer has them."""


@api.check
def special_tokens(
    *,
    tokens: Annotated[list[str], Meta(description="Further texts that must not occur.")] = [],
    allow: Annotated[list[str], Meta(description="Tokens that may occur all the same.")] = [],
    tuner: api.Tuner,
) -> api.Check:
    """Find control tokens such as `<|im_start|>` in the texts of rows: a model would take them for the end of a turn.

    They are those of the model's own tokenizer, where its provider has it on this machine, and else those of well-known
    models. Arguments of tool calls are looked at too.
    """
    tokenizer = tuner.tokenizer()
    known = (tokenizer.special if tokenizer else ()) or WELL_KNOWN
    wanted = sorted({*known, *tokens} - {*allow, ""}, key=lambda token: (-len(token), token))
    pattern = "|".join(re.escape(token) for token in wanted)

    def measure(batch: pa.RecordBatch) -> list[tuple[int, str]]:
        import pyarrow as pa

        found: list[tuple[int, str]] = []
        for name in ("messages", "chosen", "rejected"):
            if wanted and name in batch.schema.names:
                found += _found(batch.column(name), batch.column(rows.ROW), pattern)
        if wanted and "tools" in batch.schema.names and batch.column("tools").null_count < batch.num_rows:
            tools = pa.RecordBatch.from_arrays([batch.column("tools"), batch.column(rows.ROW)], names=["t", rows.ROW])
            found += _in_texts(tools.column("t"), tools.column(rows.ROW), pattern)
        return found

    def judge(measured: Iterable[list[tuple[int, str]]]) -> Iterator[api.Finding]:
        for row, token in sorted({each for part in measured for each in part}):
            yield api.Finding(
                message=f"a text holds the control token {token}",
                hint="take it out with `replace` in `cleaning`, drop the row, or `allow` it",
                row=row,
            )

    return api.Check(measure, judge)


def _found(messages: pa.Array, numbers: pa.Array, pattern: str) -> list[tuple[int, str]]:
    """(row, token) of each token in a text of the messages: contents, parts, tool calls."""
    fields, of_rows = rows.children(messages), numbers.take(rows.parents(messages))
    return [each for name in ("content", "parts", "tool_calls") for each in _in_texts(fields[name], of_rows, pattern)]


def _in_texts(texts: pa.Array, of_rows: pa.Array, pattern: str) -> list[tuple[int, str]]:
    import pyarrow.compute as pc

    if texts.null_count == len(texts):
        return []
    hit = pc.coalesce(pc.match_substring_regex(texts, pattern), rows.scalar(False))
    pairs = zip(of_rows.filter(hit).to_pylist(), texts.filter(hit).to_pylist(), strict=True)
    finder = re.compile(pattern)
    return [(row, token) for row, text in pairs for token in Counter(finder.findall(text))]


COMPONENTS: dict[str, api.Component] = {special_tokens.name: special_tokens}
