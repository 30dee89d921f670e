"""National identity and tax numbers, by country. Their check digits are computed by python-stdnum.

Where a format has no check digit, or one that every tenth number passes, its usual way of writing or a word before it
has to say what it is: an order number of nine digits is no social security number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import msgspec

from ftspec.builtin.redaction.entities import (
    SIX_DIGITS,
    Entity,
    Later,
    announced,
    coded,
    free,
    has_digits,
    many_digits,
    numbers,
)


class Format(msgspec.Struct, frozen=True):
    """One country's number.

    Args:
        module: of python-stdnum, whose `is_valid` is asked; "" where `shape` and `plain` say all there is.
        shape: how it is written, with and without separators.
        plain: the way of writing that needs no word before it (a pattern, "" for none).
        words: what announces it (a pattern).
        wide: an RE2 pattern that finds it, where it need not have six digits.
        gate: the quick look at a text that has one.
        strict: that look says more than the shape does.
    """

    module: str
    shape: str
    plain: str
    words: str
    wide: str = SIX_DIGITS
    gate: Callable[[str], object] = many_digits
    strict: bool = False


FISCAL_CODE = r"[A-Z]{3} ?[A-Z]{3} ?[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2} ?[A-Z][0-9LMNP-V]{3}[A-Z]"
PAN = r"[A-Z]{3}[ABCFGHJKLPT][A-Z]\d{4}[A-Z]"
NINE = r"\d{3}([ .-]?)\d{3}\1\d{3}"
FORMATS: dict[str, Format] = {
    "us_ssn": Format(
        "us.tin", r"\d{3}([ .-]?)\d\d\1\d{4}", r"\d{3}-\d\d-\d{4}",
        r"ssns?|socials?|social security(?: (?:number|no\.?|card))?s?|itin|taxpayer (?:id|identification)[a-z ]*|tin",
    ),
    "uk_nino": Format(
        "", r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?:[ -]?\d\d){3}[ -]?[A-D]",
        r"[A-Z]{2}(?:\d{6}| \d\d \d\d \d\d |-\d\d-\d\d-\d\d-| ?\d{6} ?)[A-D]",
        r"ninos?|ni (?:number|no\.?)|national insurance(?: (?:number|no\.?))?", gate=coded,
    ),
    "de_tax_id": Format(
        "de.idnr", r"\d\d[ /]?\d{3}[ /]?\d{3}[ /]?\d{3}", ".+",
        r"steuer[- ]?id(?:nr|entifikationsnummer)?|idnr|steuerliche identifikationsnummer|tin|tax id",
    ),
    "fr_insee": Format(
        "fr.nir", r"[1-478][ ]?\d\d[ ]?\d\d[ ]?(?:\d\d|2[AB])[ ]?\d{3}[ ]?\d{3}[ ]?\d\d", ".+",
        r"nir|insee|s[ée]curit[ée] sociale|num[ée]ro de s[ée]cu",
    ),
    "es_dni": Format(
        "es.dni", r"\d{8}[ -]?[A-Za-z]", r".+[A-Z]", r"dni|nif|documento nacional de identidad", gate=has_digits,
    ),
    "es_nie": Format(
        "es.nie", r"[XYZxyz][ -]?\d{7}[ -]?[A-Za-z]", r".+[A-Z]", r"nie|extranjer[oa]", gate=coded,
    ),
    # Letters may stand for its digits; one without any digit behind a letter is not looked for.
    "it_fiscal_code": Format("it.codicefiscale", FISCAL_CODE, ".+", "", FISCAL_CODE, gate=coded, strict=True),
    "nl_bsn": Format(
        "nl.bsn", rf"{NINE}|\d{{4}}([ .])\d{{2}}\2\d{{3}}", "",
        r"bsn|burgerservice ?nummer|sofi(?: ?nummer)?|citizen service number|ssn",
    ),
    "br_cpf": Format("br.cpf", r"\d{3}\.?\d{3}\.?\d{3}-?\d\d", r"\d{3}\.\d{3}\.\d{3}-\d\d", r"cpf(?:/mf)?"),
    "in_aadhaar": Format(
        "in_.aadhaar", r"\d{4}([ -]?)\d{4}\1\d{4}(?![ -]\d)", r"\d{4}[ -]\d{4}[ -]\d{4}",
        r"aadh?aa?r|uidai|uid|आधार",
    ),
    "in_pan": Format("in_.pan", PAN, ".+", "", PAN, gate=coded),
    "ca_sin": Format("ca.sin", NINE, "", r"sin|nas|social insurance(?: (?:number|no\.?))?|assurance sociale"),
    "pl_pesel": Format("pl.pesel", r"\d{11}", "", r"pesel"),
    "be_nn": Format(
        "be.nn", r"\d\d[. ]?\d\d[. ]?\d\d[- ]?\d{3}[. ]?\d\d", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d",
        r"rijksregister(?: ?nummer)?|registre national|insz|niss|national (?:register )?number",
    ),
    "ch_ahv": Format("ch.ssn", r"756\.?\d{4}\.?\d{4}\.?\d\d", ".+", r"ahv|avs"),
    "se_personnummer": Format(
        "se.personnummer", r"(?:19|20)?\d{6}[-+]?\d{4}", r".+[-+].+", r"personn(?:ummer|r)\.?|pnr"
    ),
    "fi_hetu": Format(
        "fi.hetu",
        r"[0-3]\d[01]\d{3}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", ".+", r"hetu|henkilötunnus", gate=has_digits,
    ),
    "no_fnr": Format("no.fodselsnummer", r"\d{6} ?\d{5}", ".+", r"f[øo]dselsnummer|personnummer|fnr"),
    "cn_ric": Format(
        "iso7064.mod_11_2",
        r"[1-8]\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[0-9Xx]", ".+", r"身份证",
    ),
    "kr_rrn": Format(
        "", r"\d{6}-?\d{7}", r"\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-.+", r"rrn|주민등록번호",
    ),
    "mx_curp": Format("mx.curp", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d", ".+", r"curp", gate=coded),
}  # fmt: skip


@cache
def _validator(module: str) -> Callable[[str], Any]:
    is_valid: Callable[[str], Any] = import_module(f"stdnum.{module}").is_valid
    return is_valid


def _entity(form: Format) -> Entity:
    plain = Later(form.plain or r"(?!)")
    said = announced(form.words) if form.words else lambda match: False

    def accept(match: re.Match[str]) -> bool:
        if not free(match) or not (plain.fullmatch(match[0]) or said(match)):
            return False
        if form.module in UNSURE and said(match):
            return True
        return not form.module or bool(_validator(form.module)(_compact(match[0], form.module)))

    return Entity(_hint(form), numbers(pattern(form), accept), form.gate, form.wide, form.strict)


def pattern(form: Format) -> Later:
    """What finds the shape."""
    return Later(form.shape, re.ASCII | (re.IGNORECASE if not form.module else 0))


def _hint(form: Format) -> str:
    """The shape for RE2, which knows no references to groups and no look-ahead, of a number that stands alone."""
    groups = re.findall(r"\((\[[^]]*\]\??)\)", form.shape)
    shape = re.sub(r"\\([12])", lambda match: groups[int(match[1]) - 1], re.sub(r"\(\?!.*?\)", "", form.shape))
    return rf"\b(?:{shape})\b" if form.module else rf"(?i:\b(?:{shape})\b)"


UNSURE = {"in_.aadhaar"}
"""Of which invented numbers, with a word before them and a wrong check digit, are to go too."""
SEPARATORS = str.maketrans("", "", " ./-")
MARKED = {"se.personnummer", "fi.hetu"}
"""Where the sign between date and number tells the century."""


def _compact(text: str, module: str) -> str:
    return text.upper() if module in MARKED else text.translate(SEPARATORS).upper()


ENTITIES: dict[str, Entity] = {name: _entity(form) for name, form in FORMATS.items()}
