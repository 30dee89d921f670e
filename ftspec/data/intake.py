"""Rows in: the spec's sources read in order, every row numbered, every line that is no row reported."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ftspec import rows
from ftspec.common.errors import Finding, PluginError
from ftspec.common.faults import kind_of
from ftspec.common.wording import dotted
from ftspec.contracts.steps import Chunk, Source
from ftspec.data import formatted
from ftspec.data.findings import Findings
from ftspec.data.ledger import Ledger
from ftspec.data.mixing import Feed, Piece, mixed
from ftspec.data.origins import Origins
from ftspec.data.rejected import Rejected
from ftspec.data.split import side_of_source
from ftspec.items import blame, build, culprit, guarded, placed, shape_of
from ftspec.layout.rowcolumns import BYTES
from ftspec.layout.shapes import Shape
from ftspec.registry import Registry
from ftspec.spec import Item, Mix, Spec, Split

if TYPE_CHECKING:
    import pyarrow as pa


END = object()
LEAVE_OUT = "leave the column out: by `columns` of a parquet source, or in the query"


class Intake:
    """Reads sources into batches with `_row`, and `_side` where the source decides it (null where the split does)."""

    def __init__(
        self,
        spec: Spec,
        registry: Registry,
        origins: Origins,
        ledger: Ledger,
        findings: Findings,
        rejected: Rejected | None = None,
    ) -> None:
        """`rejected` is told of lines that are no rows and are set aside."""
        self.folder, self.registry, self.has_format = spec.folder, registry, bool(spec.format)
        self.origins, self.ledger, self.findings, self.rejected = origins, ledger, findings, rejected
        self.shape: Shape = "chat" if spec.format else shape_of(spec, registry)
        """What rows are read as: where the spec has no format, in the shape of its method."""
        self.columns: set[str] = set()
        """Every column that some row has had."""

    def open(self, items: Sequence[Item]) -> list[tuple[Item, int]]:
        """Open the sources' accounts in the ledger, in the spec's order."""
        return [
            (item, self.ledger.step(("prompts: " if _of_eval(item) else "") + (item.id or item.name))) for item in items
        ]

    def batches(
        self, opened: Sequence[tuple[Item, int]], split: Split, mix: Mix | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of all sources, in order. Those that stand under `eval` make prompts: their side is "prompt".

        With `mix` the sources are mixed first, but for those that the split names, which are read whole.
        """
        sided = [
            (item, index, "prompt" if _of_eval(item) else side_of_source(split, item.id)) for item, index in opened
        ]
        together = [(item, index) for item, index, side in sided if mix and side is None]
        mixture = self._mix(together, mix) if mix and together else ()
        whole = (self._read_source(*each) for each in sided if each[:2] not in together)
        for batch in chain(mixture, chain.from_iterable(whole)):
            self.columns.update(rows.visible(batch))
            yield batch

    def _read_source(self, item: Item, index: int, side: str | None) -> Iterator[pa.RecordBatch]:
        account = _Account(self, item, index)
        for piece in self._pieces(item, side, account):
            first = self.origins.add(piece.file, piece.lines)
            account.took(len(piece.lines))
            yield _with_numbers(piece.batch, first)

    def _mix(self, together: Sequence[tuple[Item, int]], mix: Mix) -> Iterator[pa.RecordBatch]:
        """What a source says of rows that the mixture does not reach is not reported: they were not asked for."""
        accounts = [_Account(self, item, index, waits=True) for item, index in together]
        repeats = mix.until != "first_exhausted"
        feeds = [
            Feed(item.id or item.name, item.weight, partial(self._pass, item, account), repeats)
            for (item, _), account in zip(together, accounts, strict=True)
        ]
        for block in mixed(feeds, mix):
            first = self.origins.add_mixed(block.files, block.lines)
            for account, feed, count in zip(accounts, feeds, block.counts, strict=True):
                account.took(count, feed)
            yield _with_numbers(block.batch, first)

    def _pass(self, item: Item, account: _Account, first: bool) -> Iterator[Piece]:
        """A source from its beginning; what is wrong with it is said once."""
        return self._pieces(item, None, account if first else None)

    def _pieces(self, item: Item, side: str | None, account: _Account | None) -> Iterator[Piece]:
        source: Source = build(item, self.registry, self.folder)
        place = (*item.path, item.name)
        with placed(place), guarded(item, self.registry, "read"):
            read = source.read()
        if not isinstance(read, Iterable):
            said = f"returned {kind_of(read)} from read; an iterator of Chunk and Finding is wanted"
            raise blame(item, self.registry).fault(said, source.read)
        chunks = iter(read)
        while True:
            started = time.perf_counter()
            with placed(place), guarded(item, self.registry, "read"):
                got: Any = next(chunks, END)
            if got is END:
                return
            if isinstance(got, Finding):
                if account:
                    account.found(replace(got, file=self.shown(item, got.file)))
                continue
            if not isinstance(got, Chunk):
                said = f"yielded {kind_of(got)} from read; a Chunk or a Finding is wanted"
                raise blame(item, self.registry).fault(said, source.read)
            if said := _odd(got):
                raise blame(item, self.registry).fault(f"yielded a Chunk from read {said}", source.read)
            piece = self._piece(item, got, side, account)
            if account:
                account.seconds += time.perf_counter() - started
            if len(piece.lines):
                yield piece

    def _piece(self, item: Item, chunk: Chunk, side: str | None, account: _Account | None) -> Piece:
        """The chunk in ftspec's layout, without the rows that are none, each on the side that its source is on."""
        import pyarrow as pa

        batch, faults = self._read(chunk, item)
        file, bad = self.shown(item, chunk.origin), {index for index, _ in faults}
        for at, reason in faults if account else ():
            assert account is not None
            hint = LEAVE_OUT if BYTES in reason else ""
            account.found(Finding(message=reason, hint=hint, file=file, line=chunk.lines[at]))
        if account:
            account.files.setdefault(file, len(account.files))
        lines = [line for at, line in enumerate(chunk.lines) if at not in bad] if bad else chunk.lines
        if batch.num_columns and batch.num_rows != len(lines):
            raise PluginError(f"{culprit(item, self.registry)}: {batch.num_rows} rows with {len(lines)} line numbers")
        named = dict(zip(batch.schema.names, batch.columns, strict=True)) | {rows.SIDE: rows.repeated(side, len(lines))}
        return Piece(pa.RecordBatch.from_arrays(list(named.values()), names=list(named)), file, lines)

    def _read(self, chunk: Chunk, item: Item) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
        """The rows in ftspec's layout, and (index, fault) of those that cannot be brought into it."""
        made, faults = rows.conform(chunk.batch, checked=chunk.checked)
        ways = [partial(formatted.read, shape=self.shape)]
        if item.read_as != "auto" or (self.shape == "chat" and not self.has_format):
            ways.insert(0, partial(formatted.read_dialects, read_as=item.read_as))
        for way in ways:
            bad = {index for index, _ in faults}
            count = chunk.batch.num_rows
            left = [index for index in range(count) if index not in bad] if bad else range(count)
            made, more = way(made)
            faults += [(left[index], fault) for index, fault in more]
        return made, sorted(faults)

    def report(self, item: Item, finding: Finding) -> None:
        if item.on_error == "skip" and _no_row(finding) and self.rejected is not None:
            self.rejected.add(finding.file, finding.line, item.id or item.name, finding.message)
        self.findings.add(replace(finding, severity="warning") if item.on_error == "skip" else finding)

    def shown(self, item: Item, origin: str) -> str:
        """A file as findings, prompts and the ledger name it: relative to the spec, or the item itself for no file."""
        if not origin:
            return dotted(item.path or (item.name,))
        path = PurePath(origin)
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else origin


def _odd(chunk: Chunk) -> str:
    """What is wrong with a chunk, whatever its rows hold."""
    import pyarrow as pa

    if not isinstance(chunk.batch, pa.RecordBatch):
        return f"whose batch is {kind_of(chunk.batch)}; a RecordBatch is wanted"
    if not isinstance(chunk.origin, str):
        return f"whose origin is {kind_of(chunk.origin)}; a file's name is wanted, or an empty text"
    if not hasattr(chunk.lines, "__len__"):
        return f"whose lines are {kind_of(chunk.lines)}; one number for each row is wanted"
    return ""


class _Account:
    """What the ledger and the findings are told of one source. With `waits`, of its lines up to the last row taken."""

    def __init__(self, intake: Intake, item: Item, index: int, waits: bool = False) -> None:
        self.intake, self.item, self.index, self.waits = intake, item, index, waits
        self.seconds = 0.0
        self.waiting: list[Finding] = []
        self.files: dict[str, int] = {}

    def found(self, finding: Finding) -> None:
        self.files.setdefault(finding.file, len(self.files))
        if self.waits:
            self.waiting.append(finding)
        else:
            self._tell([finding])

    def took(self, count: int, feed: Feed | None = None) -> None:
        self.intake.ledger.read(self.index, count, 0, self.seconds)
        self.seconds = 0.0
        if feed and self.waiting:
            whole = feed.length is not None and feed.taken >= feed.length
            file, line = feed.last
            order = self.files.get(file, len(self.files))
            ready: list[Finding] = []
            later: list[Finding] = []
            for each in self.waiting:
                reached = whole or (self.files[each.file], each.line) <= (order, line)
                (ready if reached else later).append(each)
            self.waiting = later
            self._tell(ready)

    def _tell(self, ready: list[Finding]) -> None:
        for finding in ready:
            self.intake.report(self.item, finding)
        self.intake.ledger.read(self.index, 0, sum(map(_no_row, ready)), 0.0)


def _no_row(finding: Finding) -> bool:
    """Whether a line is no row, as its source says."""
    return finding.severity == "error" and not finding.part


def _with_numbers(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    at = batch.schema.get_field_index(rows.SIDE)
    return batch.add_column(at, rows.ROW, rows.integers(range(first, first + batch.num_rows)))


def _of_eval(item: Item) -> bool:
    return item.path[:1] == ("eval",)
