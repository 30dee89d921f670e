"""Secrets: keys and tokens by the form that their vendor gives them, private keys, passwords where one is assigned."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterator

from ftspec.builtin.redaction.entities import TURKISH_I, Entity, Later, Span, matches

TOKENS: dict[str, str] = {
    "OpenAI": r"sk-(?:proj|svcacct|admin|None)-[\w-]{20,}|sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}",
    "Anthropic": r"sk-ant-[a-z]{3,6}\d\d-[\w-]{20,}",
    "OpenRouter": r"sk-or-v1-[0-9a-f]{64}",
    "OpenAI's shape": r"sk-[A-Za-z0-9]{32,}",
    "AWS": r"(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA|A3T[A-Z0-9])[A-Z0-9]{16}|ABSK[A-Za-z0-9+/]{100,}={0,2}",
    "GitHub": r"gh[opsur]_[A-Za-z0-9]{36,}|github_pat_\w{22,}",
    "GitLab": r"gl(?:pat|dt|ft|rt|agent|cbt|ffct|imt|oas|ptt|soat|rtr)-[\w.-]{20,}|GR1348941[\w-]{20}",
    "Google": r"AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{28}",
    "Slack": r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{8,}|xapp-\d-[A-Za-z0-9]+-\d+-[A-Za-z0-9]+"
    r"|(?:https?://)?hooks\.slack\.com/(?:services|workflows|triggers)/[\w+/]{20,}",
    "Stripe": r"[rs]k_(?:live|test|prod)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/]{24,}",
    "Hugging Face": r"hf_[A-Za-z0-9]{34}|api_org_[A-Za-z0-9]{34}",
    "npm": r"npm_[A-Za-z0-9]{36}",
    "PyPI": r"pypi-Ag[\w-]{50,}",
    "RubyGems": r"rubygems_[0-9a-f]{48}",
    "SendGrid": r"SG\.[\w=.-]{60,}",
    "Twilio": r"(?:SK|AC)[0-9a-fA-F]{32}",
    "Mailgun, Mailchimp": r"key-[0-9a-f]{32}|[0-9a-f]{32}-us\d{1,2}",
    "Shopify": r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    "Square": r"sq0[a-z]{3}-[\w-]{22,}|EAAA[\w-]{56,}",
    "DigitalOcean": r"do[opr]_v1_[0-9a-f]{64}",
    "Databricks": r"dapi[0-9a-f]{32}(?:-\d)?",
    "Doppler": r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{40,}",
    "Grafana": r"gl(?:c_[A-Za-z0-9+/]{32,}={0,3}|sa_[A-Za-z0-9]{32}_[0-9A-Fa-f]{8})",
    "HashiCorp": r"hv[bsr]\.[\w-]{24,}|[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,}",
    "Linear, Notion": r"lin_api_[A-Za-z0-9]{40}|ntn_\d{11}[A-Za-z0-9]{35}|secret_[A-Za-z0-9]{43}",
    "Atlassian": r"ATATT3[\w=-]{100,}",
    "Postman": r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
    "Perplexity, Groq, xAI, Tavily": r"pplx-[A-Za-z0-9]{40,}|gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{70,}|tvly-[\w-]{20,}",
    "Replicate, Fireworks, NVIDIA": r"r8_[A-Za-z0-9]{37}|fw_[A-Za-z0-9]{22,24}|nvapi-[\w-]{60,}",
    "Azure": r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}|AccountKey=[A-Za-z0-9+/]{86}==",
    "Heroku": r"HRKU-AA[\w-]{58}",
    "Sentry": r"sntry[su]_[\w+/=-]{40,}",
    "Telegram": r"\d{8,10}:A[\w-]{34}",
    "Discord": r"[MNO][A-Za-z\d]{23,25}\.[\w-]{6}\.[\w-]{27,38}",
    "age": r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
}
"""What a key looks like, as its vendor's documentation or secret scanning partner program says; checked against the
rules of gitleaks 8 (MIT) and the plugins of detect-secrets 1.5 (Apache-2.0) by tests/benchmarks/bench_redact.py."""

LEAD = (
    r"(?:^|[^A-Za-z0-9])(?:sk-[\w-]{8}|A(?:KIA|SIA|BIA|CCA|ROA|IDA|3T)[A-Z0-9]|ABSK|gh[opsur]_[A-Za-z0-9]|github_pat_"
    r"|gl[a-z]{2,5}-[\w.-]|GR1348941|AIza|ya29\.|GOCSPX-|xox[a-s][.-]|xapp-|hooks\.slack\.com/"
    r"|[rs]k_(?:live|test|prod)_|whsec_|hf_[A-Za-z0-9]|api_org_|npm_[A-Za-z0-9]|pypi-Ag|rubygems_|SG\.[\w=.-]"
    r"|(?:SK|AC)[0-9a-fA-F]{4}|key-[0-9a-f]|shp(?:at|ca|pa|ss)_|sq0[a-z]{3}-|EAAA|do[opr]_v1_|dapi[0-9a-f]"
    r"|dp\.[a-z]{2,5}\.|gl(?:c|sa)_|hv[bsr]\.|lin_api_|ntn_\d|secret_[A-Za-z0-9]|ATATT3|PMAK-|pplx-|gsk_|xai-|tvly-"
    r"|r8_[A-Za-z0-9]|fw_[A-Za-z0-9]|nvapi-|AccountKey=|HRKU-|sntry[su]_|AGE-SECRET-KEY)"
    r"|[0-9a-f]-us\d|\.atlasv1\.|\dQ~|\d:A[\w-]|\.[\w-]{6}\.[\w-]{27}"
)
"""For RE2: what each of TOKENS begins with, or has in its midst. RE2 is slow where it has to count."""

TOKEN = Later(rf"(?<![A-Za-z0-9])(?:{'|'.join(TOKENS.values())})", re.ASCII)
WORD = Later(r"(?<![\w+/.~=:-])[\w+/.~=:-]{13,}", re.ASCII)
"""Where a token can be: TOKEN alone would be tried at every character."""


def _tokens(text: str) -> Iterator[Span]:
    for word in WORD.finditer(text):
        for match in TOKEN.finditer(text, word.start(), word.end()):
            if not _is_blank(match[0]):
                yield match.start(), match.start() + len(match[0].rstrip("."))


def _is_blank(value: str) -> bool:
    """Whether it stands for a secret: `ghp_xxxxxxxx`, `sk-proj-...`."""
    return set(value[-12:].lower()) <= set("x*.-_0")


JWT = Later(r"(?<![\w.-])(ey[\w-]{8,}={0,2})\.(ey[\w-]{8,}={0,2})(?:\.[\w-]*){0,3}", re.ASCII)


def _is_jwt(match: re.Match[str]) -> bool:
    """Its header is an object in base64url (RFC 7519, RFC 7515)."""
    header = match[1].rstrip("=")
    try:
        value = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return False
    return isinstance(value, dict)


PEM = Later(
    r"-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:(?!-----).){0,20000}?-----END[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\\\s:,.-]{0,20000})",
    re.DOTALL,
)

URL = Later(r"(?<=://)[^\s:/?#@\[\"'<>`]{0,100}:(?!\d{1,5}[/?#])((?:(?!://)[^\s\"'<>`]){2,200})(?<!/)@(?=[\w\[-])")
"""A password goes on to the last `@`, for it may hold one, or a slash; not so the port of an address without one, nor
a name in a path (`/@name`)."""
NAME = (
    r"pass(?:word|wort|wd|phrase|code)?|pwd|contraseña|mot de passe|senha|passwort|secret|token"
    r"|api[_ -]?key|access[_ -]?key(?:[_ -]?id)?|(?:account|auth|encryption|private)[_ -]?key|credentials?"
)
COMMA = r",(?=[^\s\"'`,;<>=:]*\d)(?![\w.-]{1,40}[=:])"
"""One within a value, not between two: digits follow, and no name of another value."""
ASSIGNED = Later(
    rf"({NAME})(?:[_-][A-Za-z0-9]{{1,20}}){{0,2}}[\"'`\])*]{{0,3}}"
    r"(\s{0,3}(?::?={1,3}>?|:|=>|\bis\b:?|!={1,2})\s{0,3}(?:@(?=[\"']))?)"
    r"(?:\"((?:[^\"\\\n]|\\.){4,200}|[^\"\n]{4,200})\"|'((?:[^'\\\n]|\\.){4,200}|[^'\n]{4,200})'|`([^`\n]{4,200})`"
    rf"|((?:[^\s\"'`,;<>]|{COMMA}){{4,200}}))",
    re.IGNORECASE,
)
HEADER = Later(r"\b(?:bearer|basic|apikey|token)[ \t]{1,3}([A-Za-z0-9._~+/-]{16,}={0,2})", re.IGNORECASE)


def _passwords(text: str) -> Iterator[Span]:
    taken: list[Span] = []
    """In order, so that a new one can overlap its neighbours alone."""
    for span in [*_urls(text), *_assigned(text), *_headers(text)]:
        at = bisect(taken, span)
        before, after = taken[max(0, at - 1) : at], taken[at : at + 1]
        if all(span[1] <= start or end <= span[0] for start, end in [*before, *after]):
            taken.insert(at, span)
    yield from taken


def in_option(name: str, text: str) -> list[str]:
    """The secrets in an option's text: of a vendor's form, in an address or a header, or behind a name that says so."""
    said = f"{name}: {text}"
    found = [text[start:end] for start, end in [*_tokens(text), *_urls(text), *_headers(text)]]
    return [*found, *(match[0] for match in PEM.finditer(text)), *(said[start:end] for start, end in _assigned(said))]


def _urls(text: str) -> Iterator[Span]:
    return matches(URL, _is_password, 1)(text)


def _is_password(match: re.Match[str]) -> bool:
    """What stands there: where no `@` ends it before a slash, it may also be a path, as in `ssh://host:path@version`."""
    value = match[1]
    first = re.split(r"[/?#]", value, maxsplit=1)[0]
    return not PLACEHOLDER.search(value) and ("@" in first or first == value or _is_mixed(value))


def _headers(text: str) -> Iterator[Span]:
    return matches(HEADER, lambda match: _is_random(match[1]), 1)(text)


def _assigned(text: str) -> Iterator[Span]:
    start = 0
    while match := ASSIGNED.search(text, start):
        group = match.lastindex or 6
        if _begins(match) and _is_secret(match[1].lower(), match[2], match[group], quoted=group < 6):
            first, last = match.span(group)
            yield first, last if group < 6 else first + len(match[group].rstrip(".!?:"))
        start = match.start(2) + 1


def _begins(match: re.Match[str]) -> bool:
    """Whether the name is no end of another word: `db_pass` and `userPassword` are names, `compass` is none."""
    before = match.string[match.start() - 1 : match.start()]
    return not before.isalpha() or len(match[1]) > 5 or match[1][0].isupper()


PLACEHOLDER = Later(
    r"^\W*$|^\[[A-Z_]+(?:_\d+)?\]?|[$%]\{|\{\{|^\$\w+$|^<|^%(?:[a-z]$|\(|\w+%$)|^[xX*•._-]+$|\0"
    r"|(?<![A-Za-z0-9])(?:your|my|example|placeholder|changeme|redacted|fake|dummy|xxx+)(?![A-Za-z0-9])"
    r"|^(?:none|null|true|false|undefined|required|optional|string|str)$",
    re.IGNORECASE,
)
CALL = Later(r"^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$|^[A-Za-z_]+$|^[A-Z][A-Z0-9_]*$|^/|^https?:|^[A-Za-z_][\w.]*[(\[]")
"""What stands there in code and prose: an attribute, a variable, a constant, a word, a path, an address."""


def _is_secret(name: str, sign: str, value: str, *, quoted: bool) -> bool:
    """A value that was chosen to be hard to guess, and no word, variable or place where one goes.

    After a password's name even one of letters counts if it stands in quotes behind a sign, and one of letters and
    digits anywhere; after a key's or a token's name it must look random.
    """
    if PLACEHOLDER.search(value):
        return False
    if name.startswith(("pass", "pwd", "contra", "mot", "senha")):
        if quoted and "is" not in sign:
            return len(value) >= 4 and any(map(str.isalnum, value))
        return _is_mixed(value) and not CALL.match(value) if len(value) >= 5 else False
    if quoted and len(value) >= 8 and not CALL.match(value) and " " not in value:
        return _is_mixed(value)
    return _is_random(value)


def _is_mixed(value: str) -> bool:
    """Letters and at least one digit or sign that no word has."""
    return any(map(str.isalpha, value)) and bool(re.search(r"\d|[!#$%^&*@+=~?|\\]", value.rstrip("!?")))


def _is_random(value: str) -> bool:
    """Long, of letters and digits, and with at least 3 bits of entropy a character (English words have about 2.5)."""
    if len(value) < 16 or not (re.search(r"\d", value) and re.search(r"[A-Za-z]", value)) or "/" in value[:1]:
        return False
    return entropy(value) >= 3.0


def entropy(text: str) -> float:
    """Shannon's entropy of the characters, in bits per character."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())


WORDS = ("pass", "pwd", "secret", "token", "key", "credential", "contras", "senha", "bearer", "basic", "://")


def has_word(text: str) -> bool:
    text = text.lower()
    return any(word in text for word in WORDS)


def has_dot(text: str) -> bool:
    return ".ey" in text


def has_dashes(text: str) -> bool:
    return "PRIVATE KEY" in text


BEYOND = r"[^\x00-\x7f]"
NAMED = (
    rf"(?:{NAME.replace('i', TURKISH_I)})(?:[_-](?:[a-z0-9]|{BEYOND})+)*[\"'`\])*]*"
    rf"(?:[\s\v\x1c-\x1f]|{BEYOND})*(?:[:=!]|\bis|[İı]s)"
)
"""The beginning of ASSIGNED, up to the sign."""
SCHEME = rf"(?:bearer|bas{TURKISH_I}c|ap{TURKISH_I}key|token)[ \t]+(?:[a-z._~+/-]|{BEYOND})*[0-9]"
"""The beginning of HEADER, up to the first digit, which random characters have."""
ENTITIES: dict[str, Entity] = {
    "private_key": Entity(r"-----BEGIN[ A-Z0-9]*PRIVATE KEY", matches(PEM, lambda match: True), has_dashes),
    "jwt": Entity(r"\.ey[A-Za-z0-9_-]{8}", matches(JWT, _is_jwt), has_dot),
    "api_key": Entity(LEAD, _tokens),
    "password": Entity(rf"(?i:{NAMED}|{SCHEME})|(?s:://.*:.*@)", _passwords, has_word, strict=True),
}
