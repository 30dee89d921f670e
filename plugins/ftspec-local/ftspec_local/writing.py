"""Rows as the tuner takes them: the training file, and the tokens of one row.

Every row is rendered when it is written, so that one that the model cannot take is found before training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from ftspec import api
from ftspec_local.options import hyperparameters_of, sft_of

if TYPE_CHECKING:
    from ftspec_local.render import Renderer

MOST_FINDINGS = 100


def tokens(renderer: Renderer, request: api.Request, example: api.Example) -> list[api.Token]:
    """The exact tokens of an example, and which are trained on. Raises DataError."""
    from ftspec_local import rows
    from ftspec_local.render import RenderError

    row = msgspec.to_builtins(example)
    try:
        if request.method == "dpo":
            pair = rows.pair(renderer, row, hyperparameters_of(request))
            parts = [(pair.prompt, 0.0), (pair.chosen, 1.0), (pair.rejected, -1.0)]
        else:
            parts = [(rows.tokenize(renderer, row, hyperparameters_of(request), sft_of(request)), 1.0)]
    except RenderError as fault:
        raise api.DataError([api.Finding(message=str(fault), hint=fault.hint, row=example.row)]) from fault
    return [
        api.Token(text=text, id=token, weight=weight * trained)
        for rendered, weight in parts
        for token, trained, text in zip(rendered.ids, rendered.trained, rendered.texts, strict=True)
    ]


class Writer:
    """Writes rows and remembers what is wrong with them."""

    def __init__(self, renderer: Renderer, request: api.Request, out: BinaryIO) -> None:
        self.renderer, self.request, self.out = renderer, request, out
        self.hyperparameters = hyperparameters_of(request)
        self.findings: list[api.Finding] = []
        self.faulty = self.rows = self.tokens = self.trained = 0

    def add(self, example: api.Example) -> None:
        """Render the row, and write it when it can be."""
        from ftspec_local.render import RenderError

        row = msgspec.to_builtins(example)
        row.pop("row", None)
        try:
            tokens, trained = self._counted(row)
        except RenderError as fault:
            self.faulty += 1
            if len(self.findings) < MOST_FINDINGS:
                self.findings.append(api.Finding(message=str(fault), hint=fault.hint, row=example.row))
            return
        self.out.write(msgspec.json.encode(row) + b"\n")
        self.rows += 1
        self.tokens += tokens
        self.trained += trained

    def _counted(self, row: dict[str, Any]) -> tuple[int, int]:
        """(tokens, trained ones) of a row. Raises RenderError."""
        from ftspec_local import rows

        if self.request.method == "dpo":
            pair = rows.pair(self.renderer, row, self.hyperparameters)
            return pair.tokens, len(pair.chosen.ids) + len(pair.rejected.ids)
        rendered = rows.tokenize(self.renderer, row, self.hyperparameters, sft_of(self.request))
        return len(rendered.ids), sum(rendered.trained)

    def written(self) -> api.Written:
        """The counts. Raises DataError with what was found."""
        if self.faulty:
            raise api.DataError(self.findings, total=self.faulty)
        return api.Written(rows=self.rows, tokens=self.tokens, trained_tokens=self.trained)
