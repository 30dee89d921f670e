"""What entities are called, apart from what finds them: a spec is checked without the patterns being compiled."""

from __future__ import annotations

from typing import Literal

from ftspec import compiled

Secret = Literal["private_key", "jwt", "api_key", "password"]
Identity = Literal[
    "us_ssn", "uk_nino", "de_tax_id", "fr_insee", "es_dni", "es_nie", "it_fiscal_code", "nl_bsn", "br_cpf",
    "in_aadhaar", "in_pan", "ca_sin", "pl_pesel", "be_nn", "ch_ahv", "se_personnummer", "fi_hetu", "no_fnr",
    "cn_ric", "kr_rrn", "mx_curp",
]  # fmt: skip
Personal = Literal["email", "phone", "card", "iban", "ip", "national_id", Identity]

ROOM = (
    "names", "entities", "numerals", "sieve", "catalogue", "contacts", "telephones", "accounts", "identities",
    "credentials",
)  # fmt: skip
MODULES = (*(f"ftspec.builtin.redaction.{name}" for name in ROOM), "ftspec.builtin.spaced", *compiled.CODE)
"""Whose code decides what is found: a component that looks for entities names them as `code`."""
