"""Excel workbooks and OpenDocument tables, through calamine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.files import BATCH_ROWS, File, Read, each

ENDINGS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


REQUIRES, INSTALL = ["python-calamine>=0.4"], "pip install 'ftspec[excel]'"


@api.source(dependencies=REQUIRES, install=INSTALL, code=["ftspec.builtin.files"])
def excel(*, path: api.Path, sheet: str | int = 0, header: Annotated[int, Meta(ge=1)] = 1) -> api.Source:
    """Read rows from a sheet of an Excel workbook (.xlsx, .xlsm, .xlsb, .xls) or an OpenDocument table (.ods).

    `sheet` is a sheet's name or its place from 0, `header` the number of the row that names the columns. Numbers,
    true and false keep their type, dates and times become text. Empty cells are missing, as are errors such as #N/A,
    formulas without a result, and of merged cells all but the first. A row's line is the sheet's.
    """
    return api.Source(lambda: each(path, ENDINGS, lambda file: _batches(read(file, sheet, header))))


HEADER = "name each column once, or say in `header` which row of the sheet has the names"


class Row(msgspec.Struct, frozen=True):
    """A row of a sheet that has values: the columns' names, what it has of them, its number from 1, and the file with
    the sheet's name."""

    names: list[str]
    values: dict[str, Any]
    number: int
    origin: str


def _batches(rows_: Iterator[Row | api.Finding]) -> Read:
    kept: list[Row] = []
    for row in rows_:
        if isinstance(row, api.Finding):
            yield row
            continue
        kept.append(row)
        if len(kept) == BATCH_ROWS:
            yield _chunk(kept)
            kept = []
    if kept:
        yield _chunk(kept)


def _chunk(kept: list[Row]) -> api.Chunk:
    return api.Chunk(rows.from_dicts([row.values for row in kept]), kept[0].origin, [row.number for row in kept])


def read(file: File, sheet: str | int, header: int = 1, first: int = 0) -> Iterator[Row | api.Finding]:
    """The rows of a sheet. Sheets are numbered from `first`."""
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(file.path) as book:
            names = book.sheet_names
            if (sheet not in names) if isinstance(sheet, str) else not first <= sheet < first + len(names):
                message = f"the workbook has no sheet {sheet!r}; it has {', '.join(map(repr, names))}"
                yield api.Finding(message=message, file=file.name, line=1)
                return
            name = sheet if isinstance(sheet, str) else names[sheet - first]
            found = book.get_sheet_by_name(name)
            top, left = found.start or (0, 0)
            yield from _rows(enumerate(found.to_python(), top + 1), f"{file.name}[{name}]", header, left)
    except (CalamineError, OSError, ValueError) as error:
        message = f"not a workbook that can be read: {error}"
        yield api.Finding(message=message, hint="check the file's ending, or save it anew", file=file.name, line=1)


def _rows(
    numbered: Iterator[tuple[int, list[Any]]], origin: str, header: int, left: int
) -> Iterator[Row | api.Finding]:
    """Rows below the header. Cells begin at the column `left`, from 0: what is empty before it is not given."""
    at, cells = next(((number, cells) for number, cells in numbered if number >= header), (header, None))
    names, problem = _header(cells, at, left)
    if problem:
        yield api.Finding(message=problem, hint=HEADER, file=origin, line=at)
        return
    for number, cells in numbered:
        row, problem = _row(names, cells, left)
        if problem:
            yield api.Finding(message=problem, hint=HEADER, file=origin, line=number)
        elif row:
            yield Row(names, row, number, origin)


def _header(cells: list[Any] | None, line: int, left: int) -> tuple[list[str], str]:
    if cells is None:
        return [], f"the sheet has no row {line} that names the columns"
    names = [str(_whole(cell)).strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    if not names or "" in names:
        return [], f"cell {_letters(left + (names.index('') if names else 0))}{line} names no column"
    twice = [name for name in names if names.count(name) > 1]
    return names, f"two columns are named '{twice[0]}'" if twice else rows.fault(dict.fromkeys(names))


def _row(names: list[str], cells: list[Any], left: int) -> tuple[dict[str, Any], str]:
    beyond = next((at for at, cell in enumerate(cells) if at >= len(names) and cell != ""), None)
    if beyond is not None:
        return {}, f"column {_letters(left + beyond)} has a value and no name in the header"
    row = {name: rows.jsonable(_whole(cell)) for name, cell in zip(names, cells, strict=False) if cell != ""}
    return row, rows.fault(row)


def _whole(cell: Any) -> Any:
    """Excel knows one kind of number; what is whole is read as an integer."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53 else cell


def _letters(index: int) -> str:
    """The letters by which a sheet calls the column at `index`, from 0."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
