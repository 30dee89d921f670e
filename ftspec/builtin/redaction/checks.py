"""The checks `pii` and `secrets`: what is left of either in the finished rows, told by row, never by value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.redaction import names as called
from ftspec.builtin.redaction.sieve import Sieve

if TYPE_CHECKING:
    import pyarrow as pa

Residue = tuple[int, list[str]]
"""Row number, and the entity of each value that is left."""
PERSONAL: list[called.Personal] = ["email", "phone", "card", "iban", "ip", "national_id"]
SECRET: list[called.Secret] = ["private_key", "jwt", "api_key", "password"]


@api.check(code=called.MODULES, dependencies=["python-stdnum"], install="pip install python-stdnum")
def pii(*, entities: Annotated[list[called.Personal], Meta(min_length=1)] = PERSONAL) -> api.Check:
    """Find rows in which personal data is left: what `redact` would have replaced. No finding shows a value."""
    return _residue("personal data", "redact: {entities: [pii]}", list(entities))


@api.check(code=called.MODULES, dependencies=["python-stdnum"], install="pip install python-stdnum")
def secrets(*, entities: Annotated[list[called.Secret], Meta(min_length=1)] = SECRET) -> api.Check:
    """Find rows in which keys, tokens or passwords are left: what `redact` would have replaced. No finding shows it."""
    return _residue("a secret", "redact: {entities: [secrets]}", list(entities))


def _residue(what: str, step: str, names: list[str]) -> api.Check:
    from ftspec.builtin.redaction import catalogue

    sieve = catalogue.sieve(names)

    def measure(batch: pa.RecordBatch) -> list[Residue]:
        left: dict[int, list[str]] = {}

        def looking(row: int) -> Callable[..., str]:
            return _collector(sieve, left.setdefault(row, []))

        rows.map_text_by_row(batch, looking, prefilter=sieve, whole=True)
        numbers = batch.column(rows.ROW)
        return [(numbers[row].as_py(), found) for row, found in sorted(left.items()) if found]

    def judge(measured: list[list[Residue]]) -> Iterator[api.Finding]:
        for row, found in (each for batch in measured for each in batch):
            listed = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in Counter(found).items())
            hint = f"clean with `{step}`, or give the check a waiver if it may stay"
            yield api.Finding(message=f"{what} is left: {listed}", hint=hint, row=row)

    return api.Check(measure, judge)


def _collector(sieve: Sieve, left: list[str]) -> Callable[..., str]:
    """A function that changes nothing, and keeps what it finds."""

    def look(text: str, mark: int | None = None) -> str:
        left.extend(found.name for found in sieve.find(text, mark))
        return text

    return look


COMPONENTS: dict[str, api.Component] = {"pii": pii, "secrets": secrets}
