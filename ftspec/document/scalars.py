"""Plain YAML scalars by the YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema).

PyYAML reads YAML 1.1, where `3e-4` is text, `no` is false and `1:30` is ninety. Here `no`, dates and `1_000` are text.
"""

from __future__ import annotations

import math
import re

Scalar = str | int | float | bool | None

NULL = re.compile(r"(?:null|Null|NULL|~|)")
TRUE = re.compile(r"(?:true|True|TRUE)")
FALSE = re.compile(r"(?:false|False|FALSE)")
DECIMAL = re.compile(r"[-+]?[0-9]+")
OCTAL = re.compile(r"0o[0-7]+")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
LARGEST = 2**63 - 1
DIGITS = len(str(LARGEST))


class ScalarFault(ValueError):
    """A number that cannot be used: message and hint, for people."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def read(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar. Raises ScalarFault for NaN, infinity and integers beyond 64 bits."""
    if NULL.fullmatch(text):
        return None
    if TRUE.fullmatch(text):
        return True
    if FALSE.fullmatch(text):
        return False
    if DECIMAL.fullmatch(text):
        return _integer(text, 10)
    if OCTAL.fullmatch(text):
        return _integer(text, 8)
    if HEXADECIMAL.fullmatch(text):
        return _integer(text, 16)
    if NOT_FINITE.fullmatch(text):
        raise ScalarFault("infinity and NaN are not usable numbers", "write a finite number, or quote it as text")
    return _float(text) if FLOAT.fullmatch(text) else text


def _integer(text: str, base: int) -> int:
    # Python refuses to read thousands of decimal digits, so the length is looked at first.
    if base == 10 and len(text.lstrip("+-0")) > DIGITS:
        raise _too_large()
    value = int(text, base)
    if not -LARGEST <= value <= LARGEST:
        raise _too_large()
    return value


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _too_large()
    return value


def _too_large() -> ScalarFault:
    return ScalarFault("this number is too large", "quote it if it is an id or a text")
