"""Texts with known personal data and secrets in them, to measure what `redact` finds. Nothing here knows its patterns.

Values come from Faker, from Mimesis, from gitleaks' rules by rstr, and from the published examples of the formats;
sentences from presidio-evaluator's templates and, where it has none, from plain ones below. What surrounds them is
prose and code by others, and numbers that are no personal data.
"""

from __future__ import annotations

import base64
import inspect
import json
import random
import re
import sys
import textwrap
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import rstr
from faker import Faker
from mimesis import Internet, Locale, Payment, Person

DATA = Path(__file__).parent / "data" / "redact"


class Planted(NamedTuple):
    """A text, and what stands in it: (start, end, entity)."""

    text: str
    values: list[tuple[int, int, str]]


@cache
def faker(locale: str) -> Faker:
    return Faker(locale)


def _fake(locale: str, method: str, rng: random.Random) -> str:
    fake = faker(locale)
    fake.seed_instance(rng.getrandbits(32))
    return str(getattr(fake, method)())


PHONES = (
    "en_US", "en_GB", "en_CA", "de_DE", "de_CH", "fr_FR", "es_ES", "it_IT", "nl_NL", "pt_BR", "pl_PL", "sv_SE", "fi_FI",
    "cs_CZ", "da_DK", "no_NO", "ja_JP", "ko_KR", "en_IN", "tr_TR",
)  # fmt: skip
EMAILS = ("en_US", "de_DE", "fr_FR", "ja_JP", "pt_BR")
IBANS = (
    "de_DE",
    "fr_FR",
    "es_ES",
    "it_IT",
    "nl_NL",
    "en_GB",
    "pl_PL",
    "fi_FI",
    "no_NO",
    "de_AT",
    "de_CH",
    "pt_PT",
    "tr_TR",
)


def _spaced(iban: str, rng: random.Random) -> str:
    return " ".join(textwrap.wrap(iban, 4)) if rng.random() < 0.5 else iban


def _spaced_card(number: str, rng: random.Random) -> str:
    return rng.choice((" ", "-", "")).join(textwrap.wrap(number, 4)) if len(number) == 16 else number


Make = Callable[[random.Random], str]
FAKER: dict[str, Make] = {
    "email": lambda rng: _fake(
        rng.choice(EMAILS), rng.choice(("email", "company_email", "free_email", "ascii_email")), rng
    ),
    "phone": lambda rng: _fake(rng.choice(PHONES), "phone_number", rng),
    "card": lambda rng: _spaced_card(_fake("en_US", "credit_card_number", rng), rng),
    "iban": lambda rng: _spaced(_fake(rng.choice(IBANS), "iban", rng), rng),
    "ip": lambda rng: _fake("en_US", rng.choice(("ipv4", "ipv4_private", "ipv6")), rng),
    "us_ssn": lambda rng: _fake("en_US", rng.choice(("ssn", "itin")), rng),
    "fr_insee": lambda rng: _fake("fr_FR", "ssn", rng),
    "es_dni": lambda rng: _fake("es_ES", "nif", rng),
    "es_nie": lambda rng: _fake("es_ES", "nie", rng),
    "it_fiscal_code": lambda rng: _fake("it_IT", "ssn", rng),
    "nl_bsn": lambda rng: _fake("nl_NL", "ssn", rng),
    "br_cpf": lambda rng: _fake("pt_BR", rng.choice(("cpf", "ssn")), rng),
    "in_aadhaar": lambda rng: rng.choice((" ", "")).join(textwrap.wrap(_fake("en_IN", "aadhaar_id", rng), 4)),
    "ca_sin": lambda rng: _fake("en_CA", "ssn", rng),
    "pl_pesel": lambda rng: _fake("pl_PL", "pesel", rng),
    "be_nn": lambda rng: _fake("nl_BE", "ssn", rng),
    "ch_ahv": lambda rng: _fake("de_CH", "ssn", rng),
    "se_personnummer": lambda rng: _fake("sv_SE", "ssn", rng),
    "fi_hetu": lambda rng: _fake("fi_FI", "ssn", rng),
    "no_fnr": lambda rng: _fake("no_NO", "ssn", rng),
    "cn_ric": lambda rng: _fake("zh_CN", "ssn", rng),
    "kr_rrn": lambda rng: _fake("ko_KR", "ssn", rng),
    "mx_curp": lambda rng: _fake("es_MX", "curp", rng),
}
LOCALES = tuple(each for each in Locale if each.name[:2] not in ("FA", "AR"))


def _person(rng: random.Random) -> Person:
    return Person(rng.choice(LOCALES), seed=rng.getrandbits(32))


def _internet(rng: random.Random) -> Internet:
    return Internet(seed=rng.getrandbits(32))


MIMESIS: dict[str, Make] = {
    "email": lambda rng: _person(rng).email(),
    "phone": lambda rng: _person(rng).phone_number(),
    "card": lambda rng: Payment(seed=rng.getrandbits(32)).credit_card_number(),
    "ip": lambda rng: _internet(rng).ip_v4() if rng.random() < 0.5 else _internet(rng).ip_v6(),
}
PUBLISHED: dict[str, str] = {
    # HMRC, National Insurance Manual NIM39110: the pattern of a number
    "uk_nino": "(?:A[A-CEGHJ-NPR-TW-Z]|C[A-CEHJ-NPR-TW-Z]|[EHJLMPRSWXY][A-CEHJ-MPR-TW-Z])[0-9]{6}[A-D]",
    # Income Tax Department of India: the fourth letter is the holder's kind, P a person
    "in_pan": "[A-Z]{3}[PPPPCHFATBLJG][A-Z][0-9]{4}[A-Z]",
}
TAX_IDS = ("36574261809", "65929970489", "57549285017", "25768131411", "47036892816")
"""German tax ids: published examples, for no generator makes any."""


sys.modules["rstr.xeger"].STAR_PLUS_LIMIT = 400  # type: ignore[attr-defined]
"""It bounds counted repetition too, and keys are long; `+` is bounded by `_of_key`."""


def _rstr(pattern: str, rng: random.Random) -> str:
    return str(rstr.Rstr(rng).xeger(pattern))


def value(entity: str, rng: random.Random, source: str) -> str:
    """One value by a generator of others; `source` is "faker" or "mimesis" where both have it."""
    if entity == "de_tax_id":
        number = rng.choice(TAX_IDS)
        return rng.choice((number, f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"))
    if entity in PUBLISHED:
        made = _rstr(PUBLISHED[entity], rng)
        spaced = entity == "uk_nino" and rng.random() < 0.5
        return " ".join((made[:2], made[2:4], made[4:6], made[6:8], made[8:])) if spaced else made
    makers = {**FAKER, **MIMESIS} if source == "mimesis" else FAKER
    return makers[entity](rng)


NAMES: dict[str, tuple[str, ...]] = {
    "us_ssn": ("SSN", "social security number"),
    "uk_nino": ("NINO", "National Insurance number"),
    "de_tax_id": ("Steuer-ID", "tax id"),
    "fr_insee": ("numéro de sécurité sociale", "NIR"),
    "es_dni": ("DNI", "NIF"),
    "es_nie": ("NIE",),
    "it_fiscal_code": ("codice fiscale",),
    "nl_bsn": ("BSN", "burgerservicenummer"),
    "br_cpf": ("CPF",),
    "in_aadhaar": ("Aadhaar", "Aadhaar number"),
    "in_pan": ("PAN",),
    "ca_sin": ("SIN", "social insurance number"),
    "pl_pesel": ("PESEL",),
    "be_nn": ("rijksregisternummer", "national register number"),
    "ch_ahv": ("AHV number",),
    "se_personnummer": ("personnummer",),
    "fi_hetu": ("henkilötunnus",),
    "no_fnr": ("fødselsnummer",),
    "cn_ric": ("身份证",),
    "kr_rrn": ("RRN",),
    "mx_curp": ("CURP",),
    "iban": ("IBAN", "account"),
    "ip": ("IP address", "host"),
    "email": ("e-mail", "address"),
    "card": ("card", "Visa"),
    "phone": ("phone", "mobile number"),
}
SENTENCES = (
    "My {name} is {value}.", "{name}: {value}", "Please update {name} {value}, it was entered twice.",
    "{value} is my {name}",
    "the {name} on the form ({value}) does not match", '{{"{name}": "{value}"}}',
    "Hi, {name} no. {value}; can you check?",
)  # fmt: skip
TEMPLATES = {
    "phone": "phone_number", "email": "email", "card": "credit_card_number", "iban": "iban", "ip": "ip_address",
    "us_ssn": "ssn",
}  # fmt: skip


@cache
def templates() -> dict[str, list[str]]:
    """presidio-evaluator's sentences by the entity of ours that they have a place for."""
    lines = [
        line.replace("\\n", "\n").replace("\\,", ",")
        for line in (DATA / "presidio-templates.txt").read_text().splitlines()
    ]
    return {name: [line for line in lines if f"{{{{{place}}}}}" in line] for name, place in TEMPLATES.items()}


def sentence(entity: str, rng: random.Random, source: str) -> Planted:
    """A sentence with one value (or, in a template, as many as it has places)."""
    if entity in TEMPLATES and rng.random() < 0.5:
        return _filled(rng.choice(templates()[entity]), rng, source)
    made = value(entity, rng, source)
    before, _, after = rng.choice(SENTENCES).replace("{name}", rng.choice(NAMES[entity])).partition("{value}")
    before, after = before.replace("{{", "{").replace("}}", "}"), after.replace("{{", "{").replace("}}", "}")
    return Planted(before + made + after, [(len(before), len(before) + len(made), entity)])


def _filled(template: str, rng: random.Random, source: str) -> Planted:
    ours = {place: name for name, place in TEMPLATES.items()}
    text, values = "", []
    for index, part in enumerate(re.split(r"\{\{(\w+)\}\}", template)):
        if index % 2 and part in ours:
            made = value(ours[part], rng, source)
            values.append((len(text), len(text) + len(made), ours[part]))
        else:
            made = _other(part, rng) if index % 2 else part
        text += made
    return Planted(text, values)


OTHERS = {"person": "name", "organization": "company", "age": "year", "nationality": "country", "zipcode": "postcode"}


def _other(place: str, rng: random.Random) -> str:
    method = OTHERS.get(place, place)
    return _fake("en_US", method if hasattr(faker("en_US"), method) else "word", rng)


# What is none: numbers, codes and addresses that look like it.


def negative(rng: random.Random) -> str:
    """A short text without personal data or secrets, of the kind that looks most like it."""
    digits = lambda count: "".join(rng.choice("0123456789") for _ in range(count))  # noqa: E731
    en = lambda method: _fake("en_US", method, rng)  # noqa: E731
    hexes = lambda count: "".join(rng.choice("0123456789abcdef") for _ in range(count))  # noqa: E731
    kinds: tuple[Callable[[], str], ...] = (
        lambda: f"on {en('date')} at {en('time')}, i.e. {en('iso8601')}",
        lambda: f"{rng.randint(1, 28):02}.{rng.randint(1, 12):02}.{rng.randint(1950, 2030)}",
        lambda: f"{rng.randint(1, 12)}/{rng.randint(1, 28)}/{rng.randint(1950, 2030)} to {rng.randint(1990, 2030)}",
        lambda: (
            f"upgrade to version {rng.randint(1, 20)}.{rng.randint(0, 30)}.{rng.randint(0, 30)}.{rng.randint(0, 99)}"
        ),
        lambda: f"order number {digits(rng.randint(6, 12))} was shipped",
        lambda: f"ticket #{digits(rng.randint(5, 10))}, invoice {digits(4)}-{digits(5)}, SKU {digits(3)}-{digits(4)}",
        lambda: f"tracking 1Z{digits(16)} and {digits(12)}",
        lambda: f"ISBN {en('isbn13')} or {en('isbn10')}, EAN {en('ean13')}",
        lambda: f"commit {hexes(40)} (short {hexes(7)}), sha256:{en('sha256')}, md5 {en('md5')}",
        lambda: f"id {en('uuid4')} of {en('uuid4')}",
        lambda: f"data:image/png;base64,{base64.b64encode(rng.randbytes(90)).decode()}",
        lambda: (
            f"it costs {en('pricetag')}, {rng.randint(1, 999)},{digits(3)}.{digits(2)} EUR or "
            f"{digits(2)} {digits(3)} {digits(3)} kr"
        ),
        lambda: (
            f"at {en('latitude')}, {en('longitude')} since "
            f"{rng.randint(10**9, 2 * 10**9)} ({rng.randint(10**12, 2 * 10**12)} ms)"
        ),
        lambda: en("user_agent"),
        lambda: f"see {en('url')}{digits(8)}?page={digits(3)}&token_type=bearer",
        lambda: f"colours {en('hex_color')} and MAC {en('mac_address')}",
        lambda: f"pages {digits(3)}-{digits(3)}, chapter 3.{digits(1)}.{digits(2)}, pi is 3.14159265358979",
        lambda: f"x[{digits(2)}:{digits(3)}], std::vector<int>::size, a @property, foo@bar, 10::20",
        lambda: (
            f"max_tokens={digits(4)}, password=get_password(), token = tokens[{digits(1)}], api_key: str | None = None"
        ),
        lambda: (
            "I forgot my password: it is not accepted. My password is wrong! The secret is to wait, the token is lost"
        ),
        lambda: (
            f"population {rng.randint(1, 99)} {digits(3)} {digits(3)}, {digits(1)}.{digits(12)} "
            f"and {digits(2)}e-{digits(1)}"
        ),
        lambda: f"matrix [{digits(1)} {digits(2)} {digits(3)} {digits(1)} {digits(2)}; {digits(4)} {digits(4)}]",
        lambda: f"model {en('bothify')}-{digits(3)}, flight {en('bothify')}, room {digits(4)}",
        lambda: f"{en('street_address')}, {en('postcode')} {en('city')}",
        lambda: f"snowflake 1{digits(17)}, nonce {digits(20)}, doi:{en('doi')}",
    )
    return rng.choice(kinds)()


@cache
def prose() -> list[str]:
    """Paragraphs by others: descriptions of data sets, documentation and source code of Python's own library."""
    import argparse
    import datetime
    import decimal
    import email.message
    import http.client
    import ssl
    import statistics

    from sklearn import datasets

    folder = Path(str(datasets.__file__)).parent / "descr"
    texts = [path.read_text("utf-8") for path in sorted(folder.glob("*.rst"))]
    modules = (argparse, datetime, decimal, email.message, http.client, ssl, statistics, random, textwrap)
    texts += [inspect.getsource(module) for module in modules]
    blocks = (block.strip() for text in texts for block in re.split(r"\n\s*\n", text))
    return [
        block for block in blocks if 40 < len(block) < 900 and not re.search(r"@\w+\.|\b\d+\.\d+\.\d+\.\d+\b|::", block)
    ]


def around(planted: Planted, rng: random.Random) -> Planted:
    """The sentence in a text: prose and look-alikes before and after it."""
    pieces = [rng.choice(prose()) if rng.random() < 0.5 else negative(rng) for _ in range(rng.randint(0, 3))]
    at = rng.randint(0, len(pieces))
    before = "".join(f"{piece}\n" for piece in pieces[:at])
    text = before + planted.text + "".join(f"\n{piece}" for piece in pieces[at:])
    return Planted(text, [(start + len(before), end + len(before), name) for start, end, name in planted.values])


# Secrets.

KINDS: dict[str, str] = {
    "openai": "openai-api-key", "anthropic": "anthropic-", "aws": "aws-access-token", "github": "github-",
    "gitlab": "gitlab-(?!session)", "google": "gcp-api-key", "slack": "slack-", "stripe": "stripe-",
    "huggingface": "huggingface-", "jwt": "jwt$", "private_key": "private-key$",
    "other vendors": "npm-|pypi-|rubygems-|shopify-|digitalocean-|databricks-|doppler-|grafana-|linear-api-key|notion-"
    "|postman-|perplexity-|sendgrid-|sentry-user|age-secret|heroku-api-key-v2|azure-ad|twilio-",
}  # fmt: skip
"""Vendors, and gitleaks' rules of theirs (a pattern over ids)."""


@cache
def rules() -> dict[str, list[str]]:
    """gitleaks' patterns by vendor, as Python's: the key alone, without what must follow it."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for rule in tomllib.loads((DATA / "gitleaks.toml").read_text())["rules"]:
        for kind, pattern in KINDS.items():
            if "regex" in rule and re.match(pattern, rule["id"]) and rule["id"] not in SKIPPED:
                found[kind].append(_of_key(rule["regex"]))
    return found


SKIPPED = ("grafana-api-key", "aws-amazon-bedrock-api-key-short-lived")
"""The first is JSON in base64, which its pattern does not say; the second is a prefix only."""


def _of_key(pattern: str) -> str:
    pattern = pattern.replace(r"""(?:[\x60'"\s;]|\\[nr]|$|\b)""", "").replace(r"""(?:[\x60'"\s;]|\\[nr]|$)""", "")
    pattern = (
        pattern.replace(r"""(?:^|[\\'"\x60\s>=:(,)])""", "")
        .replace(r"""(?:$|[\\'"\x60\s<),])""", "")
        .replace(r"\b", "")
    )
    pattern = pattern.replace("hooks.slack.com", r"hooks\.slack\.com").replace("xoxe.xox", r"xoxe\.xox")
    pattern = re.sub(r"(?<=[\]d])\+", "{6,14}", pattern)
    return re.sub(r"\(\?-?i:?\)?", lambda match: "(?:" if match[0].endswith(":") else "", pattern)


def key(kind: str, rng: random.Random) -> str:
    """A key that gitleaks' rules take for one; of JWT and private keys the real thing."""
    if kind == "jwt":
        header = {"alg": rng.choice(("HS256", "RS256")), "typ": "JWT"}
        parts = [
            json.dumps(header).encode(),
            json.dumps({"sub": str(rng.getrandbits(40)), "iat": 1516239022}).encode(),
            rng.randbytes(32),
        ]
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    if kind == "private_key":
        label = rng.choice(
            ("RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
        )
        body = "\n".join(textwrap.wrap(base64.b64encode(rng.randbytes(rng.randint(200, 1200))).decode(), 64))
        return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----"
    return _rstr(rng.choice(rules()[kind]), rng)


CONTEXTS = (
    "{key}", "export API_KEY={key}", 'client = Client("{key}")', "curl -H 'Authorization: Bearer {key}' https://api.example.com",
    "I get 401 with {key}, why?", '{{"api_key": "{key}"}}', "token: {key}\n", "Here: `{key}`.", "https://user:{key}@example.com/x.git",
)  # fmt: skip


def secret(kind: str, rng: random.Random) -> Planted:
    """A sentence or a line of code with a key."""
    made = key(kind, rng)
    contexts = CONTEXTS[:1] if kind == "private_key" else CONTEXTS
    before, _, after = rng.choice(contexts).replace("{{", "{").replace("}}", "}").partition("{key}")
    name = kind if kind in ("jwt", "private_key") else "api_key"
    return Planted(before + made + after, [(len(before), len(before) + len(made), name)])


ASSIGNMENTS = (
    "password={value}", 'password = "{value}"', "PASSWORD: {value}", '{{"password": "{value}"}}',
    "my password is {value}",
    "DB_PASSWORD={value}", "postgresql://app:{value}@db.example.com:5432/app", "mongodb+srv://root:{value}@cluster0.example.net",
    "Server=tcp:db;User ID=sa;Password={value};", "passwd: '{value}'", "mysql://{user}:{value}@10.example/x",
)  # fmt: skip


def password(rng: random.Random) -> Planted:
    """A password by Faker (letters of both cases, digits, sometimes signs), assigned or in an address."""
    fake = faker("en_US")
    fake.seed_instance(rng.getrandbits(32))
    template = rng.choice(ASSIGNMENTS)
    plain = "://" in template or "Password={" in template or rng.random() < 0.5
    made = fake.password(length=rng.randint(8, 20), special_chars=not plain)
    before, _, after = template.replace("{user}", "app").replace("{{", "{").replace("}}", "}").partition("{value}")
    return Planted(before + made + after, [(len(before), len(before) + len(made), "password")])


# Measured.


class Rates(NamedTuple):
    """Of one entity: values planted and how many of them were wholly found, values found and how many were planted."""

    planted: int
    recalled: int
    found: int
    right: int

    @property
    def recall(self) -> float:
        return self.recalled / self.planted if self.planted else 1.0

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0


Find = Callable[[str], list[tuple[int, int, str]]]


def rates(texts: Iterator[Planted], find: Find, misses: list[str] | None = None) -> dict[str, Rates]:
    """Recall and precision by entity. A value under a wrong name counts as missed, and as found wrongly."""
    counts: Counter[tuple[str, str]] = Counter()
    for text, values in texts:
        found = find(text)
        for start, end, name in values:
            hit = any(other == name and first <= start and end <= last for first, last, other in found)
            counts.update([("planted", name), *([("recalled", name)] if hit else [])])
            if not hit and misses is not None:
                misses.append(f"missed {name}: {_shown(text, start, end)}")
        for first, last, name in found:
            right = any(other == name and start < last and first < end for start, end, other in values)
            counts.update([("found", name), *([("right", name)] if right else [])])
            if not right and misses is not None:
                misses.append(f"wrong {name}: {_shown(text, first, last)}")
    names = sorted({name for _, name in counts})
    return {name: Rates(*(counts[field, name] for field in Rates._fields)) for name in names}


def _shown(text: str, start: int, end: int) -> str:
    return f"{text[max(0, start - 25) : start]!r} [{text[start:end]!r}] {text[end : end + 12]!r}"


def sample(seed: int, count: int, source: str) -> Iterator[Planted]:
    """`count` texts per entity and kind of secret, as many without any, in one order for a seed."""
    for name in (*NAMES, *KINDS, "password", ""):
        rng = random.Random(f"{seed} {name}")
        for _ in range(count * (10 if not name else 1)):
            if not name:
                yield around(Planted(negative(rng), []), rng)
            elif name in KINDS:
                yield around(secret(name, rng), rng)
            else:
                yield around(password(rng) if name == "password" else sentence(name, rng, source), rng)


def by_vendor(seed: int, count: int, find: Find) -> dict[str, Rates]:
    """Keys by vendor: whose are found. Precision is of all keys alike."""
    found = {}
    for kind in KINDS:
        rng = random.Random(f"{seed} {kind}")
        (found[kind],) = [
            rate for rate in rates((secret(kind, rng) for _ in range(count)), find).values() if rate.planted
        ]
    return found
