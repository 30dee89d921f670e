"""What the data step made, as a record: counts of its steps, the provider's files, what was found."""

from __future__ import annotations

from ftspec.common.errors import Finding
from ftspec.common.jobs import DataFile, Size
from ftspec.common.records import Record, StepCount


class DataResult(Record):
    """What the data step made. `sides` counts rows per side, and under "prompt" the evaluation's prompts.

    `findings` is bounded, `findings_total` is how many there were. `rows_sha256` is of the file of finished rows.
    """

    counts: tuple[StepCount, ...]
    size: Size
    files: tuple[DataFile, ...]
    sides: dict[str, int]
    findings: tuple[Finding, ...] = ()
    findings_total: int = 0
    rows_sha256: str = ""
