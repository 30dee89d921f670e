"""Addresses in networks: of e-mail, and of machines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftspec.builtin.redaction.entities import Entity, Span, words
from ftspec.builtin.spaced import SPACED
from ftspec.compiled import entitykernels

if TYPE_CHECKING:
    from ftspec.builtin.redaction.numerals import Numbers, Numerals

AT = re.compile("@")
EMAIL = re.compile(r"(?<![\w.+-])[\w.+%'-]*[\w+%-]@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,24}(?![\w-])")


def _emails(text: str) -> Iterator[Span]:
    for start, end in words(AT, text):
        for match in EMAIL.finditer(text, start, end):
            yield match.span()


ADDRESS = re.compile(
    rf"(?<!{SPACED})(?<![.:-])"
    rf"(?:\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?!-|\.\d)|(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}[0-9A-Fa-f]{{0,4}}(?!:))(?!{SPACED})"
)
VERSION_BEFORE = re.compile(
    r"(?:\bv|\bver\.?|\bversions?|\brelease|\bbuild|\bsection|\bchapter|§|版本|バージョン|버전)[ :=]*$", re.IGNORECASE
)


HINT = r"[0-9A-Fa-f]:(?::[0-9A-Fa-f]|[0-9A-Fa-f]{1,4}:)|::[0-9A-Fa-f]{1,4}:"
"""Of an IPv6 address: two groups of digits, which `_is_address` asks for, and two colons."""
GROUPS = re.compile(
    r"[.:](?:(?<=\d\.)\d{1,3}\.\d{1,3}\.\d|(?<=[0-9A-Fa-f]:)(?::[0-9A-Fa-f]|[0-9A-Fa-f]{1,4}:)|(?<=:):[0-9A-Fa-f]{1,4}:)",
    re.ASCII,
)
"""HINT, or three dots between digits, for Python, which quickly finds a dot or a colon."""


BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
V4 = re.compile(rf"{BYTE}(?:\.{BYTE}){{3}}", re.ASCII)
"""What ipaddress.IPv4Address takes, in a tenth of its time: a leading zero may be meant as octal."""


def _is_address(match: re.Match[str]) -> bool:
    """A valid address that is not announced as a version or a section, and not C++'s `::`."""
    text = match[0]
    if ":" in text:
        try:
            ipaddress.IPv6Address(text)
        except ValueError:
            return False
        groups = list(filter(None, text.split(":")))
        return any(map(str.isdigit, text)) and (
            len(groups) > 2 or (len(groups) > 1 and not text.replace(":", "").isdigit())
        )
    if not V4.fullmatch(text):
        return False
    begin = max(0, match.start() - 16)
    said = match.string[begin : match.start()].rstrip(" :=\n")
    return said[-1:] not in VERSION_ENDS or not VERSION_BEFORE.search(match.string, begin, match.start())


VERSION_ENDS = frozenset("vVrR.nNsSſeEdD§本ン전")
"""The last letters of what VERSION_BEFORE finds."""


def _addresses(text: str) -> Iterator[Span]:
    for start, end in words(GROUPS, text):
        while match := ADDRESS.search(text, start, end):
            if _is_address(match):
                yield match.span()
            start = match.end()


def _may_have_address(numerals: Numerals) -> Numbers:
    """The places of the texts with three dots between digits, or with HINT."""
    import numpy as np

    # Some of HINT is found in a fifth of the time: RE2 looks for the first colon alone.
    colons = numerals.matching(":(?::[0-9A-Fa-f]|[0-9A-Fa-f]{1,4}:)")
    found: Numbers = np.concatenate([numerals.places(numerals.dotted()), numerals.matching(HINT, colons)])
    return found


def has_at(text: str) -> bool:
    return "@" in text


ENTITIES: dict[str, Entity] = {
    "email": Entity(r"@[^\s@]+\.\S", _emails, has_at, telling=entitykernels.MAIL),
    "ip": Entity(_may_have_address, _addresses, GROUPS.search, telling=entitykernels.ADDRESS),
}
