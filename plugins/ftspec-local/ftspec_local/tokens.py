"""The model's tokenizer as steps and checks use it: see `api.Tokenizer`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ftspec import api
from ftspec_local import rows
from ftspec_local.options import Hyperparameters, Sft
from ftspec_local.render import Renderer, RenderError

NO_LIMIT = 2**31
"""A `max_length` that nothing reaches: here rows are counted, not judged."""


class Tokenizer:
    """Counts with `tokenizers`, which is safe from any thread; rows go through the model's chat template."""

    per_byte = 1.0
    """Byte-level BPE, and SentencePiece with byte fallback, never make more tokens of a text than it has bytes."""

    def __init__(self, renderer: Renderer, request: api.Request) -> None:
        self.renderer, self.dpo = renderer, request.method == "dpo"
        self.hyperparameters = msgspec.convert({**request.hyperparameters, "max_length": NO_LIMIT}, Hyperparameters)
        self.sft = Sft() if self.dpo else msgspec.convert(request.method_options, Sft)

    @property
    def special(self) -> Sequence[str]:
        return self.renderer.special_tokens

    def counts(self, texts: Sequence[str]) -> list[int]:
        encoded = self.renderer.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(each.ids) for each in encoded]

    def cut(self, text: str, most: int) -> str:
        """Up to where the last token that fits ends: tokens say which characters they are of."""
        offsets = self.renderer.tokenizer.encode(text, add_special_tokens=False).offsets
        if len(offsets) <= most:
            return text
        end = offsets[most][0]  # a character that two tokens share goes whole
        return text[:end]

    def row(self, example: api.Example) -> tuple[int, int] | None:
        """Of a preference pair: the longer of its two conversations, and the tokens of both answers."""
        row = msgspec.to_builtins(example)
        try:
            if self.dpo:
                pair = rows.pair(self.renderer, row, self.hyperparameters)
                answers = len(pair.chosen.ids), len(pair.rejected.ids)
                return len(pair.prompt.ids) + max(answers), sum(answers)
            rendered = rows.tokenize(self.renderer, row, self.hyperparameters, self.sft)
        except RenderError:
            return None
        return len(rendered.ids), sum(rendered.trained)
