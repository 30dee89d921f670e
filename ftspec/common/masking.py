"""What replaces secrets in text: their values, parts of them, and both as JSON, URLs and base64 write them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

MASK = "***"
MASKED_LINE = 8
SPELT = 6
"""Characters of a secret from which on it is also looked for as other formats write it."""
LEAST = 4
"""Characters of a secret below which it is not masked: it could stand anywhere."""
FRAGMENT = 12
"""Characters in a row of a secret that are masked too: services put parts of keys into their messages."""
PROBE = 6
"""Any FRAGMENT of a text holds one of the pieces of this length that begin at every (FRAGMENT - PROBE + 1)th place."""
LONGEST = 512
"""Characters of a secret above which it is no key, and its parts are not looked for."""
ABBREVIATED = re.compile(r"([\w+/-]{2,11})?(?:\*{3,}|\.{3}|…)([\w+/-]{2,11})?")
"""A key as services show it: its beginning and its end, both shorter than a FRAGMENT."""

CREDENTIALS = tuple(
    f"_{name}"
    for name in (
        *("API_KEY", "APIKEY", "ACCESS_KEY", "ACCOUNT_KEY", "AUTH_KEY", "PRIVATE_KEY", "SAS_KEY", "SECRET_KEY"),
        *("STORAGE_KEY", "OPENAI_KEY", "SECRET", "TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIALS"),
        *("CONNECTION_STRING", "BEARER_TOKEN_BEDROCK", "PGPASSWORD", "MYSQL_PWD"),
    )
)
"""How variables of the environment end that hold a secret."""
WORD = re.compile(rf"[!-~]{{{FRAGMENT},}}")
"""Where a FRAGMENT of a key without blanks can be: most texts have few such words, or none."""
IN_QUERY = re.compile(r"sig|token|key|secret|passw|credential", re.IGNORECASE)
"""The same of a parameter in an address."""

PASSWORD_IN_ADDRESS = re.compile(r"://[^/?#\s@]*:[^/?#\s]+@")

ESCAPE = re.compile("%[0-9A-F]{2}")
SIGNED = re.compile(
    r"([?&;](?:X-(?:Amz|Goog)-(?:Signature|Security-Token)|Signature|sig)=)([^&\s\"'<>\\]{6,})", re.IGNORECASE
)
"""What lets whoever has the address in: of S3, Google's and Azure's storage, as services put it into what they say."""
LOGIN = re.compile(
    r"(\b(?:Bearer|Basic)[ \t]+|X-Amz-Security-Token[\"']?[:=,][ \t]*b?[\"']?)(?=[A-Za-z._~+/-]*\d)([\w.~+/-]{20,}=*)",
    re.IGNORECASE | re.ASCII,
)
"""What a request's header says to be let in, as errors repeat it: it may be a token that was got on the way."""
SIGNS = ("ignature=", "sig=", "ecurity-", "earer", "asic", "EARER", "ASIC")
"""One of these stands where there is such a thing: quick to look for."""

Masking = Callable[[str], str]


@lru_cache(1024)
def holds_credential(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return f"_{name}".upper().endswith(CREDENTIALS)


def credentials(environment: Mapping[str, str]) -> Iterator[str]:
    """Secrets of the environment that nobody has referred to: libraries read them by themselves, and so may tell them.

    Short ones could be a word, and one that is a path says where the secret is. Of an address it is the password."""
    for name, value in environment.items():
        if holds_credential(name):
            if len(value) >= FRAGMENT and not _is_path(value):
                yield value
        elif "@" in value:
            least = MASKED_LINE if name[-6:].lower() == "_proxy" else FRAGMENT
            yield from (part for part in _of_address(value) if len(part) >= least)


def _is_path(value: str) -> bool:
    """Whether it is the place of a file, be it there or not."""
    path = Path(value)
    try:
        return value.startswith("/") and (path.exists() or (path.parent != Path("/") and path.parent.is_dir()))
    except OSError:  # longer than a name may be: base64 may begin with a slash too
        return False


def is_common(value: str) -> bool:
    """Whether it could be a word, a number or a piece of any text: without those a text would tell nothing any more,
    and JSON be none. A server of one's own wants some key often, and gets `x`, `none` or `EMPTY`."""
    value = value.strip()
    return len(value) < LEAST or (len(value) < SPELT and (value.isalpha() or value.isdigit()))


@lru_cache(16)
def of(secrets: frozenset[str], *, shortened: bool = True) -> Masking:
    """A function that masks the secrets in a text; `shortened`: also where no more than their ends are told."""
    whole = {value.strip() for value in secrets} | secrets  # as a header carries it, and an answer may give it back
    # A key of several lines is also masked line by line, since output shows lines.
    whole |= {line for value in whole for line in value.splitlines() if len(line) >= MASKED_LINE}
    whole |= {part for value in whole for part in _of_address(value)}
    written = {form for value in whole if len(value) >= SPELT for form in _forms(value)}
    values = sorted((value for value in whole | written if not is_common(value)), key=len, reverse=True)
    keys = [(value, _probes(value)) for value in values if FRAGMENT < len(value) <= LONGEST]
    in_words = all(WORD.fullmatch(value) for value, _ in keys)
    ends = [value for value in whole if FRAGMENT < len(value) <= LONGEST]

    def masked(text: str) -> str:
        for value in values:
            text = text.replace(value, MASK)
        words = "\n".join(WORD.findall(text)) if keys and in_words else text
        for key, probes in keys if words else ():
            if any(probe in words for probe in probes):
                text = _without_parts(text, key)
        if shortened and ends and ("***" in text or "..." in text or "…" in text):
            text = ABBREVIATED.sub(lambda match: MASK if _ends(match, ends) else match[0], text)
        return text

    return masked


def unsigned(text: str) -> str:
    """The text without the signature of an address that it holds, and without what a header says to be let in."""
    if not any(one in text for one in SIGNS):
        return text
    return LOGIN.sub(rf"\1{MASK}", SIGNED.sub(rf"\1{MASK}", text))


def signatures(text: str) -> list[str]:
    """Those of the signed addresses in a text."""
    return [found[2] for found in SIGNED.finditer(text)]


def _forms(value: str) -> Iterator[str]:
    """The value as it is written elsewhere, where that differs: in JSON, in HTML, by Python, in an address (JSON and
    addresses also within another of their kind), as hexadecimal digits, in base64."""
    import html  # most runs have no secret

    data = value.encode("utf-8", "surrogateescape")
    spelt, plain = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
    yield from (spelt, plain, repr(value)[1:-1], ascii(value)[1:-1], repr(data)[2:-1])
    yield from (plain.replace("/", r"\/"), json.dumps(spelt)[1:-1], html.escape(value), html.escape(value, quote=False))
    for text in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield from (text, ESCAPE.sub(lambda match: match[0].lower(), text), quote(text))
    yield from (data.hex(), data.hex().upper())
    for before in range(3):  # base64 writes three bytes as four characters: it matters what stands in front
        text = base64.b64encode(bytes(before) + data).decode()
        core = text[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
        yield from (core, core.replace("+", "-").replace("/", "_"))


def _of_address(value: str) -> Iterator[str]:
    """What is secret in a secret that is a URL: a driver that is given all of it may tell the password alone."""
    if "://" not in value:
        return
    try:
        parts = urlsplit(value)
        user, password = parts.username or "", parts.password or ""
    except ValueError:  # no address after all
        return
    if len(password) >= MASKED_LINE and password != user:
        yield from (password, unquote(password))
    yield from (said for name, said in parse_qsl(parts.query) if len(said) >= FRAGMENT and IN_QUERY.search(name))


def _probes(key: str) -> tuple[str, ...]:
    """Pieces of the key of which one stands in whatever holds a FRAGMENT of it: few, to look for quickly."""
    return tuple(key[at : at + PROBE] for at in range(0, len(key) - PROBE + 1, FRAGMENT - PROBE + 1))


def _without_parts(text: str, key: str) -> str:
    """The text with every part of the key masked that is at least FRAGMENT long."""
    at = 0
    while at <= len(key) - FRAGMENT:
        part = key[at : at + FRAGMENT]
        if part in text:
            while at + len(part) < len(key) and key[at : at + len(part) + 1] in text:
                part = key[at : at + len(part) + 1]
            text = text.replace(part, MASK)
        else:
            at += 1
    return text


def _ends(match: re.Match[str], keys: Iterable[str]) -> bool:
    """Whether the beginning or the end that was matched is that of a key."""
    begin, end = match[1] or "", match[2] or ""
    return any((begin and key.startswith(begin)) or (end and key.endswith(end)) for key in keys)
