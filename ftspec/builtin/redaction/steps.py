"""The step `redact`: personal data and secrets out of texts, placeholders in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from ftspec import api
from ftspec.builtin.redaction import names
from ftspec.builtin.redaction.sieve import Sieve

Name = Literal["pii", "secrets", names.Personal, names.Secret]
DIGITS = 8


def key_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """A number over the whole data set is made with a key: without one, anyone could try all telephone numbers."""
    if options["placeholders"] == "dataset" and not options["key"]:
        yield ("placeholders",), "placeholders of the whole data set want a `key`, e.g. ${secret:REDACT_KEY}"
    if options["placeholders"] != "dataset" and options["key"]:
        yield ("key",), "`key` is for `placeholders: dataset`"


@api.text_step(
    private=True,
    rules=[key_rule],
    code=names.MODULES,
    dependencies=["python-stdnum"],
    install="pip install python-stdnum",
)
def redact(
    *,
    entities: Annotated[list[Name], Meta(min_length=1)] = ["pii", "secrets"],
    placeholders: Literal["plain", "row", "dataset"] = "plain",
    key: api.Secret = "",
) -> api.Text:
    """Replace personal data and secrets with placeholders such as [EMAIL]. Tool calls' arguments are covered.

    Args:
        entities: what to look for; `pii` is all personal data, `secrets` all secrets, `national_id` the numbers of all
            countries.
        placeholders: `plain` ([EMAIL]); `row` ([EMAIL_1], [EMAIL_2]: within a row, the same value has the same number);
            `dataset` ([EMAIL_48210377]: the same in all rows, by a keyed hash of the value).
        key: of `dataset`: a secret, `${secret:NAME}`; who knows it can test guesses.
    """
    from ftspec.builtin.redaction import catalogue

    sieve = catalogue.sieve(entities)
    if placeholders == "row":
        return api.Text(Numbered(sieve), prefilter=sieve, of_row=lambda: Numbered(sieve))
    return api.Text(Hashed(sieve, key) if placeholders == "dataset" else Plain(sieve), prefilter=sieve)


class Plain:
    """[EMAIL] for every address."""

    def __init__(self, sieve: Sieve) -> None:
        self.sieve = sieve

    def __call__(self, text: str, mark: int | None = None) -> str:
        made, kept = "", 0
        for start, end, name in self.sieve.find(text, mark):
            made += f"{text[kept:start]}[{name.upper()}{self.suffix(name, text[start:end])}]"
            kept = end
        return made + text[kept:] if kept else text

    def suffix(self, name: str, value: str) -> str:
        return ""


class Numbered(Plain):
    """[EMAIL_1] for the first address of a row, wherever it stands again, [EMAIL_2] for the second."""

    def __init__(self, sieve: Sieve) -> None:
        super().__init__(sieve)
        self.numbers: dict[str, dict[str, int]] = {}

    def suffix(self, name: str, value: str) -> str:
        seen = self.numbers.setdefault(name, {})
        return f"_{seen.setdefault(same(name, value), len(seen) + 1)}"


class Hashed(Plain):
    """[EMAIL_48210377]: eight digits of a keyed BLAKE2b, so that no pass over all rows has to count."""

    def __init__(self, sieve: Sieve, key: str) -> None:
        super().__init__(sieve)
        self.key = key
        self.state: Any = None

    def suffix(self, name: str, value: str) -> str:
        if self.state is None:
            key = hashlib.sha256(str(api.resolve(self.key)).encode()).digest()
            self.state = hashlib.blake2b(digest_size=8, key=key)
        state = self.state.copy()
        state.update(f"{name} {same(name, value)}".encode())
        return f"_{int.from_bytes(state.digest()) % 10**DIGITS:0{DIGITS}}"


EXACT = ("private_key", "jwt", "api_key", "password")


def same(name: str, value: str) -> str:
    """What is equal for two ways of writing the same: numbers without separators, addresses in lower case."""
    if name in EXACT:
        return value
    if name in ("email", "ip"):
        return value.casefold()
    return "".join(filter(str.isalnum, value)).upper()


COMPONENTS: dict[str, api.Component] = {"redact": redact}
