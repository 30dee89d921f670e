"""Findings about data as they come in: located, bounded, and all of them reported at once."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from ftspec.common.errors import DataError, Finding, Severity, SpecFinding
from ftspec.common.figures import plural
from ftspec.common.references import mask
from ftspec.spec import Item

KEPT = 100
KEPT_ALIKE = 5
"""Findings kept in all, and of those that say the same, be it of other rows: one fault must not hide the others."""

MENTION = re.compile(r"\{row (\d+)\}")
MEASURED = re.compile(r"\b\d[\d,.]*(?=%| tokens)")
"""What is another in each row, and says the same."""


class Findings:
    """Collects findings. `locate` turns a row number into file and line."""

    def __init__(self, locate: Callable[[int], tuple[str, int]]) -> None:
        self.locate = locate
        self.errors: list[Finding] = []
        self.warnings: list[Finding] = []
        self.totals = {"error": 0, "warning": 0}
        self.alike: Counter[tuple[str, str]] = Counter()
        self.shown: Counter[tuple[str, str]] = Counter()
        """How many there were of each severity and message, and how many of those are kept."""

    def add(self, finding: Finding) -> None:
        self.totals[finding.severity] += 1
        alike = (finding.severity, MENTION.sub("another row", MEASURED.sub("…", finding.message)))
        self.alike[alike] += 1
        kept = self.errors if finding.severity == "error" else self.warnings
        if len(kept) < KEPT and self.alike[alike] <= KEPT_ALIKE:
            self.shown[alike] += 1
            kept.append(self._located(finding))

    def judge(self, item: Item, findings: Iterable[Finding]) -> None:
        """Add what a check found, with the severity and the waiver that the spec gives the check."""
        for finding in findings:
            if isinstance(finding, SpecFinding):
                finding = replace(finding, path=(*item.path, item.name, *finding.path))
            self.add(waived(item, replace(finding, check=item.id or item.name), datetime.date.today()))

    def bounded(self) -> tuple[Finding, ...]:
        """The warnings, in the order of files and lines, and one line for each kind of which some were left out.

        They are kept with the data, and what a plugin says may hold a secret of its options: it is masked."""
        return self._summed(self.warnings, "warning")

    def raise_errors(self) -> None:
        """Raise DataError if anything is wrong."""
        if self.totals["error"]:
            raise DataError(self._summed(self.errors, "error"), self.totals["error"])

    def _summed(self, kept: list[Finding], severity: Severity) -> tuple[Finding, ...]:
        alike = [kind for kind, count in self.alike.items() if kind[0] == severity and count > KEPT_ALIKE][:KEPT]
        left_out = {kind: self.alike[kind] - self.shown[kind] for kind in alike}
        more = [
            f"{kind[1]} (in {plural(count, 'more row' if self.shown[kind] else 'row')})"
            for kind, count in left_out.items()
        ]
        rest = self.totals[severity] - len(kept) - sum(left_out.values())
        more += [f"{plural(rest, 'more finding')}, not shown"] if rest else []
        # What has no place is often what comes of the others: that no row is left, say.
        ordered = sorted(kept, key=lambda finding: (not finding.file, finding.file, finding.line, finding.column))
        said = (*ordered, *(Finding(message=message, severity=severity) for message in more))
        masked = mask.now()
        return tuple(
            replace(one, message=masked(one.message), hint=masked(one.hint), file=masked(one.file)) for one in said
        )

    def _located(self, finding: Finding) -> Finding:
        said = replace(finding, message=self._named(finding.message), hint=self._named(finding.hint))
        if finding.row is None:
            return said
        file, line = self.locate(finding.row)
        return replace(said, file=file, line=line)

    def _named(self, text: str) -> str:
        """The text with file and line of every row that it mentions."""
        return MENTION.sub(lambda match: ":".join(map(str, self.locate(int(match[1])))), text)


def waived(item: Item, finding: Finding, today: datetime.date) -> Finding:
    """The finding as the spec wants it: a warning when the check is one or has a waiver that has not expired."""
    waiver = item.waive
    if waiver is not None and datetime.date.fromisoformat(waiver.until) >= today:
        message = f"{finding.message} (waived by {waiver.owner} until {waiver.until}: {waiver.reason})"
        return replace(finding, message=message, severity="warning")
    if waiver is not None:
        hint = f"the waiver of {waiver.owner} expired on {waiver.until}: fix the data or renew it"
        return replace(finding, hint=hint)
    return replace(finding, severity="warning") if item.severity == "warning" else finding
