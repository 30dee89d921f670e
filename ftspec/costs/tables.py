"""Tables of prices and of retirement days: data with a source and a day, ours, a plugin's, the user's.

A table is a YAML file (`ftspec/pricelists/` holds ours). It says for which endpoints it is (patterns, as a provider's
`endpoint` reads), and holds entries for models (patterns too). What stands in the file counts for each entry that does
not say it itself.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from ftspec.common.errors import Problem, SpecError, SpecPath
from ftspec.document import document as yaml_document
from ftspec.document.document import Document

OURS = Path(__file__).with_name("pricelists")
Amount = Annotated[float, Meta(ge=0)]
Patterns = Annotated[tuple[str, ...], Meta(min_length=1)]
T = TypeVar("T", bound=msgspec.Struct)


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What answering costs, per million tokens."""

    prompt: Amount
    completion: Amount


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model costs. What is None is not said here: another entry may say it.

    Args:
        tuning: per million tokens of the training file, times epochs; `tuning_hour` where hours are billed instead.
        base, tuned: answers of the model itself, and of what was tuned from it.
        hosting_hour: a deployment, per hour that it stands.
        as_of: the day on which `source` said so, or on which it was written down where nothing was looked up.
        verified: whether somebody read the price on that day in the vendor's own list (or bill, or contract).
    """

    models: Patterns
    endpoints: Patterns
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    source: Annotated[str, Meta(min_length=1)]
    as_of: datetime.date
    verified: bool = True
    methods: Patterns = ("*",)
    tuning: Amount | None = None
    tuning_hour: Amount | None = None
    base: Rate | None = None
    tuned: Rate | None = None
    hosting_hour: Amount | None = None


class Retirement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The day on which a model, or an endpoint's tuning, ends; `partial`: for some only. `verified` as of prices."""

    what: Literal["model", "tuning"]
    endpoints: Patterns
    day: datetime.date
    source: Annotated[str, Meta(min_length=1)]
    as_of: datetime.date
    verified: bool = True
    models: Patterns = ("*",)
    note: str = ""
    partial: bool = False


class Tables(msgspec.Struct, frozen=True):
    """All entries; where several say something, the first one counts."""

    prices: tuple[Price, ...] = ()
    retirements: tuple[Retirement, ...] = ()
    own: int = 0
    """So many of the prices are the user's."""

    def price(self, field: str, endpoint: str, model: str, method: str = "sft") -> Price | None:
        """The entry that says `field` ("tuning", "base", ...) of a model; None where nothing does."""
        return next((price for price in self.prices if _says(price, field, endpoint, model, method)), None)

    def is_own(self, price: Price) -> bool:
        """Whether the user has written the entry: it counts before what a provider says."""
        return any(price is mine for mine in self.prices[: self.own])

    def ends(self, endpoint: str, model: str) -> list[Retirement]:
        """What is known to end of a spec's endpoint and model, the earliest first."""
        found = [
            end
            for end in self.retirements
            if _is_for(end.endpoints, endpoint) and (end.what == "tuning" or _matches(end.models, model))
        ]
        return sorted(found, key=lambda end: end.day)


def _says(price: Price, field: str, endpoint: str, model: str, method: str) -> bool:
    return (
        getattr(price, field) is not None
        and _is_for(price.endpoints, endpoint)
        and _matches(price.models, model)
        and _matches(price.methods, method)
    )


def _is_for(patterns: Iterable[str], endpoint: str) -> bool:
    """Whether they match an endpoint, as it is or without its `?…`: who has an account there, and how it computes."""
    return _matches(patterns, endpoint) or _matches(patterns, endpoint.partition("?")[0])


def _matches(patterns: Iterable[str], text: str) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def read(named: Sequence[Path] = ()) -> Tables:
    """The tables that the spec names, those of the user's folder, and ours, in this order of precedence.

    Raises SpecError with everything that is wrong with the first faulty file.
    """
    own = [_table(file) for file in (*named, *configured())]
    ours = _shipped()
    prices = [price for table in own for price in table.prices]
    return Tables(
        (*prices, *(price for table in ours for price in table.prices)),
        tuple(end for table in (*own, *ours) for end in table.retirements),
        len(prices),
    )


@cache
def _shipped() -> tuple[Tables, ...]:
    """Ours, which a command wants more than once."""
    return tuple(_table(file) for file in sorted(OURS.glob("*.yaml")))


def configured() -> list[Path]:
    """The tables in the user's folder: ~/.config/ftspec/prices/*.yaml. None where this user, as many a container's, has
    no home, or not the right to look into it."""
    try:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        return sorted((folder / "ftspec" / "prices").glob("*.yaml"))
    except (RuntimeError, PermissionError):
        return []


def is_table(data: Any) -> bool:
    """Whether what a YAML file holds is meant as a table, and not as a spec: such a file may lie among specs."""
    return isinstance(data, dict) and bool({"prices", "retirements"} & data.keys()) and "sources" not in data


def check(file: Path) -> None:
    """Raise SpecError with everything that is wrong with a table."""
    _table(file)


def _table(file: Path) -> Tables:
    document = yaml_document.load(file)
    reader = _Reader(document)
    tables = reader.tables()
    if reader.problems:
        raise SpecError([document.locate(problem) for problem in reader.problems], document)
    return tables


class _Reader:
    """Entries out of a document, and everything that is wrong with it."""

    COMMON = ("endpoints", "currency", "source", "as_of", "verified")
    KEYS = (*COMMON, "prices", "retirements")

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def tables(self) -> Tables:
        data = self.document.data
        if not isinstance(data, dict):
            self._say("a table of prices is a mapping", "see docs/costs.md", ())
            return Tables()
        for key in data:
            if key not in self.KEYS:
                self._say(f"unknown key '{key}'", f"known are {', '.join(self.KEYS)}", (key,), on="key")
        common = {key: data[key] for key in self.COMMON if key in data}
        prices = tuple(self._entries("prices", common, Price))
        ends = {key: value for key, value in common.items() if key != "currency"}
        return Tables(prices, tuple(self._entries("retirements", ends, Retirement)))

    def _entries(self, key: str, common: dict[str, Any], type: type[T]) -> Iterator[T]:
        listed = self.document.data.get(key, [])
        if not isinstance(listed, list):
            self._say(f"'{key}' is a list", "write one entry per line, each beginning with '- '", (key,))
            return
        for index, entry in enumerate(listed):
            filled = {**common, **entry} if isinstance(entry, dict) else entry
            try:
                yield msgspec.convert(filled, type)
            except msgspec.ValidationError as error:
                said, _, where = str(error).partition(" - at ")
                path = tuple(_path(where))
                shared = isinstance(entry, dict) and path and path[0] not in entry  # it stands once, for all entries
                self._say(said, "see docs/costs.md", path if shared else (key, index, *path))

    def _say(self, message: str, hint: str, path: SpecPath, on: Literal["key", "value"] = "value") -> None:
        problem = Problem(message=message, hint=hint, path=path, on=on)
        if problem not in self.problems:
            self.problems.append(problem)


def _path(where: str) -> Iterator[str | int]:
    """`$.base.prompt` → ("base", "prompt")."""
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", where):
        yield name or int(index)
