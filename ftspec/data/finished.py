"""Rows that have been through every step: kept in their file, counted, measured for the checks, asked as prompts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from msgspec.structs import replace

from ftspec import rows
from ftspec.common.errors import Finding
from ftspec.common.messages import Prompt
from ftspec.data import cases
from ftspec.data.books import Books
from ftspec.data.measures import Measures
from ftspec.data.prompts import PromptsFile
from ftspec.data.segments import Outcome
from ftspec.data.spool import RowsFile
from ftspec.items import shape_of
from ftspec.registry import Registry
from ftspec.spec import Spec


class Finished:
    """Takes what the last segments make of each batch.

    Attributes:
        measures: of each check, in the checks' order.
        sides: rows per side.
        prompts: the evaluation's, each once.
        unseen: columns that the evaluation names and no prompt has had yet.
    """

    def __init__(self, spec: Spec, registry: Registry, books: Books, out: Path, checks: int) -> None:
        self.spec, self.registry, self.books = spec, registry, books
        self.file = RowsFile(out, shape_of(spec, registry))
        self.measures = [Measures(out) for _ in range(checks)]
        self.sides = Counter({"train": 0, "validation": 0, "test": 0, "prompt": 0})
        self.prompts = PromptsFile(out)
        self.unseen = cases.columns(spec.eval)

    def take(self, outcome: Outcome) -> None:
        self.file.write(outcome.batch)
        for kept, measure in zip(self.measures, outcome.measures, strict=False):
            if measure is not None:
                kept.append(measure)
        if outcome.batch.num_rows:
            for each in outcome.batch.column(rows.SIDE).value_counts().to_pylist():
                self.sides[each["values"]] += each["counts"]
        for row, prompt in outcome.prompts:
            self._ask(row, replace(prompt, origin=self.books.origins.where(row)))

    def _ask(self, row: int, prompt: Prompt) -> None:
        for message, hint in cases.faults(prompt, self.spec, self.registry):
            self.books.findings.add(Finding(message=message, hint=hint, row=row))
        self.unseen.difference_update(prompt.row)
        first = self.prompts.add(row, prompt)
        if first != row:
            message = f"the same prompt and answer as {self.books.origins.where(first)}: asked once"
            self.books.findings.add(Finding(message=message, severity="warning", row=row))
