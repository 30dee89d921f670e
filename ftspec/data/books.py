"""What is written down of rows as they go by: where they came from, what dropped them, what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ftspec.common.errors import Finding
from ftspec.common.records import StepCount
from ftspec.data.cleaning import Done
from ftspec.data.columns import Memory
from ftspec.data.findings import Findings
from ftspec.data.ledger import Ledger
from ftspec.data.origins import Origins
from ftspec.data.rejected import Rejected
from ftspec.data.segments import Outcome


class Books:
    """The books of one data step, in the folder `out`. `memory` is what the ledger may hold."""

    def __init__(self, out: Path, memory: Memory) -> None:
        self.out = out
        self.origins = Origins()
        self.ledger = Ledger(self.origins, out, memory)
        self.findings = Findings(self.origins.locate)
        self.rejected = Rejected(out)
        self.skipping: set[int] = set()
        """Accounts of steps whose failures are set aside."""

    def enter(self, outcome: Outcome) -> None:
        """What the steps did to one batch, and what was found in it."""
        for done in outcome.done:
            self.ledger.add(done)
            self._set_aside(done)
            self.find(done.findings)
        self.find(outcome.findings)

    def find(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.findings.add(finding)

    def write(self) -> tuple[StepCount, ...]:
        """What each step did, once `out` holds which rows came from where and what dropped them."""
        self.origins.write(self.out)
        self.ledger.write(self.out)
        return self.ledger.counts()

    def _set_aside(self, done: Done) -> None:
        """Rows on which a step with `on_error: skip` failed; those that it merely dropped are in the ledger."""
        if done.step not in self.skipping or not done.dropped.num_rows:
            return
        for row, reason, failed in zip(*(column.to_pylist() for column in done.dropped.columns), strict=True):
            if failed:
                file, line = self.origins.locate(row)
                step = self.ledger.tallies[done.step].name
                self.rejected.add(file, line, step, reason, row)
                self.findings.add(Finding(message=f"left out by '{step}': {reason}", severity="warning", row=row))
