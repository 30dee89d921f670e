"""Rows of a database: a query over a SQLAlchemy URL, or over an SQLite file, streamed from the server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ftspec import api, rows
from ftspec.builtin.files import BATCH_ROWS, Read

AT_IN_PASSWORD = re.compile(r"[\w+]+://[^:/]*:[^@]*@.*@", re.DOTALL)
Value = str | int | float | bool | None
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
STREAMED = {"stream_results": True, "max_row_buffer": BATCH_ROWS}
INSTALL = {"psycopg": "pip install 'ftspec[postgresql]'"}


def _one_place(options: Mapping[str, Any]) -> Iterable[api.Clash]:
    if bool(options["url"]) == bool(options["database"]):
        yield ("url",), "give either `url` or `database` (an SQLite file)"
    elif re.match(r"sqlite[^:]*:///(?!/)\w", options["url"]):
        yield ("url",), "an SQLite file goes under `database`: there its path is relative to the spec"


@api.source(
    rules=[_one_place],
    dependencies=["sqlalchemy>=2"],
    install="pip install 'ftspec[sql]'",
    code=["ftspec.builtin.files"],
)
def sql(
    *,
    query: str,
    url: str = "",
    database: api.Path | None = None,
    parameters: dict[str, Value] = {},
    version: str = "",
) -> api.Source:
    """Read the rows of a query: `url` is a SQLAlchemy URL, `database` an SQLite file.

    Write secrets as `${secret:NAME}` in the `url`. `parameters` are bound where the query says `:name`. Rows are
    streamed, and are read in one transaction that changes nothing; say ORDER BY, or their order is the server's whim.

    What the query returns is hashed for the plan, which reads it all once. `version` is a query whose result says the
    same for less, e.g. `select count(*), max(changed) from orders`.
    """
    place = _Place(url, database, parameters)
    return api.Source(lambda: _read(place, query), lambda: _fingerprint(place, version or query))


class _Place(msgspec.Struct, frozen=True):
    url: str
    database: str | None
    parameters: dict[str, Value]

    @property
    def option(self) -> str:
        """The option that names it."""
        return "database" if self.database else "url"


def _read(place: _Place, query: str) -> Read:
    if not re.search(r"\border\s+by\b", query, re.IGNORECASE):
        message = "the query has no ORDER BY: the server may return its rows in another order each time"
        yield api.Finding(message=message, hint="add one over columns that are unique", severity="warning", line=1)
    origin = place.database or ""
    first = 1
    for names, part in _parts(place, query):
        values: list[dict[str, Any]] = []
        numbers: list[int] = []
        for number, cells in enumerate(part, first):
            row, problem = _row(names, cells)
            if problem:
                yield api.Finding(message=problem, file=origin, line=number)
            else:
                values.append(row)
                numbers.append(number)
        first += len(part)
        if values:
            yield api.Chunk(rows.from_dicts(values), origin, numbers)


def _row(names: list[str], cells: Any) -> tuple[dict[str, Any], str]:
    try:
        row = {name: rows.jsonable(value) for name, value in zip(names, cells, strict=True)}
    except UnicodeDecodeError:
        return {}, "a value is bytes that are no UTF-8"
    return row, rows.fault(row)


def _fingerprint(place: _Place, query: str) -> str:
    state = hashlib.sha256()
    for names, part in _parts(place, query):
        for row in part:
            state.update(repr((names, tuple(row))).encode() + b"\n")
    return state.hexdigest()


def _parts(place: _Place, query: str) -> Iterator[tuple[list[str], list[Any]]]:
    """(names of the columns, some rows) of the query's result."""
    import sqlalchemy

    url = _url(place)
    with _explained(url, place.parameters, place.option):
        engine = sqlalchemy.create_engine(url, hide_parameters=True, poolclass=sqlalchemy.NullPool)
        connection = engine.connect()
    with connection, _explained(url, place.parameters, "query"):
        found = connection.execution_options(**STREAMED).execute(sqlalchemy.text(query), place.parameters)
        if not found.returns_rows:
            raise api.FtspecError("the query returns no rows", "write a SELECT", "query")
        names = list(found.keys())
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise api.FtspecError(f"the query has two columns named '{twice[0]}'", "name one with AS", "query")
        for part in found.partitions(BATCH_ROWS):
            yield names, [tuple(row) for row in part]


def _url(place: _Place) -> Any:
    import sqlalchemy

    if place.database:
        return sqlalchemy.URL.create(
            "sqlite", database=f"file:{_sqlite_file(place.database)}", query={"mode": "ro", "uri": "true"}
        )
    try:
        url = sqlalchemy.make_url(place.url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # a port that is no number
        hint = "write it as postgresql://user:${secret:PASSWORD}@host:5432/name"
        raise api.FtspecError("`url` is not a SQLAlchemy URL", hint, "url") from None
    if AT_IN_PASSWORD.match(place.url):  # it would be taken for a host, and shown
        raise api.FtspecError("`url` has an `@` too many", "write one of the password as %40", "url")
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def _sqlite_file(path: str) -> str:
    """The file on this machine. What waits in a write-ahead log beside it is not in the content that was hashed."""
    (found, *more) = api.input_files(path)
    if more:
        raise api.FtspecError(f"`database` names {len(more) + 1} files", "name one SQLite file", "database")
    local = found.local()
    log = Path(f"{local}-wal")
    if log.exists() and log.stat().st_size:
        hint = "close the programs that use it, or run `pragma wal_checkpoint(truncate)`"
        raise api.DataError([api.Finding(message="some of the database is still in its log", hint=hint, file=str(log))])
    return local.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


OF_THE_QUERY = re.compile(
    r'no such (?:table|column|function|collation sequence): |near "|ambiguous column name: |incomplete input'
    r"|attempt to write a readonly database|unable to open database file|file is not a database|database is locked"
    r"|(?:A value is required for|You did not supply a value for) |connection (?:failed|to server)"
    r"|relation |column |syntax error at |permission denied for "
)
"""How drivers begin what they say of a query, a file or a server. Anything else may quote what is in a cell."""


OF_THE_FILE = re.compile(r"unable to open database file|file is not a database|database is locked")
"""SQLite opens its file when the query is made."""


def _said(error: Exception) -> str:
    """The driver's first line where it speaks of the query or of the server, else only the error's type."""
    orig = getattr(error, "orig", None) or error
    said = str(orig).strip().partition("\n")[0]
    return said if OF_THE_QUERY.match(said) else type(orig).__name__


@contextmanager
def _explained(url: Any, parameters: Mapping[str, Value], option: str) -> Iterator[None]:
    """Turn what SQLAlchemy and drivers raise about an option into one line. They quote URLs, parameters and values."""
    from sqlalchemy import exc

    where = f"{url.get_backend_name()} database '{url.database or ''}'".replace("file:", "")
    where += f" at {url.host}" if url.host else ""
    try:
        yield
    except (exc.NoSuchModuleError, ModuleNotFoundError) as error:
        name = getattr(error, "name", None) or url.drivername
        hint = INSTALL.get(name, f"install the driver of {url.drivername}, or name another as in `dialect+driver://`")
        raise api.FtspecError(f"{where}: no driver '{name}' is installed", hint, "url") from None
    except exc.DataError as error:
        message = f"{where}: a value does not fit the query ({type(error.orig).__name__})"
        raise api.FtspecError(message, "run the query by hand to see which", "query") from None
    except exc.SQLAlchemyError as error:
        said = _said(error)
        secrets = [url.password, *(text for text in parameters.values() if isinstance(text, str) and len(text) > 3)]
        for secret in filter(None, map(str, filter(None, secrets))):
            said = said.replace(secret, "***")
        option = "database" if OF_THE_FILE.match(said) else option
        hint = "check the url, the query and what the user may read"
        raise api.FtspecError(f"{where}: {said}", hint, option) from None
