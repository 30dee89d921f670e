"""Cleaning steps that change texts, wherever they stand in a row."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin import marks, mojibake
from ftspec.builtin.marks import ALL, Marks, Shape

if TYPE_CHECKING:
    import pyarrow as pa

CODE = ["ftspec.builtin.mojibake", *marks.CODE]


@api.text_step(code=CODE)
def strip() -> api.Text:
    """Remove white space around every text. Texts inside tool calls and other JSON stay as they are.

    White space is what Unicode and Python call so: blanks, tabs, line ends, no-break spaces, the ideographic space.
    """

    def stripped(texts: pa.Array) -> pa.Array:
        import pyarrow.compute as pc

        return pc.utf8_trim_whitespace(texts)

    return api.Text(str.strip, nested=False, arrays=stripped)


LINE_END = "\r\x0b\x0c\x85\u2028\u2029"
INVISIBLE = (
    r"\x00-\x08\x0e-\x1f\x7f"  # ASCII's control characters; U+0080-009F are bytes of mojibake, which fix_text needs
    r"\u00ad\u200b\u2060-\u2064\ufeff"  # soft hyphen, zero-width space, word joiner and its kin, byte order mark
    r"\u202a-\u202e\u2066-\u2069\ufff9-\ufffb"  # overrides of the writing direction, interlinear marks
)
BLANKS = " \t\u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f\u3000"
BLANK = r" \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
NOT_NFC = (  # marks, Hangul letters, and the blocks of characters that have another canonical form
    r"\pM\u1160-\u11ff\u0374\u037e\u0387\u0958-\u095f\u09dc-\u09df\u0a33-\u0a5e\u0b5c-\u0b5d\u0f43-\u0f69"
    r"\u1f71-\u1fff\u2000-\u2001\u2126\u212a-\u212b\u2329\u232a\u2adc\uf900-\ufaff\ufb1d-\ufb4e"
    r"\U0001d15e-\U0001d1c0\U0002f800-\U0002fa1d"
)


def normalise_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """Something is left to do."""
    wanted = any(options[name] for name in ("line_ends", "invisible", "blanks", "trailing"))
    if options["unicode"] == "none" and options["empty_lines"] is None and not wanted:
        yield (), "every part of it is switched off"


@api.text_step(rules=[normalise_rule], code=CODE)
def normalise(
    *,
    unicode: Annotated[Literal["NFC", "NFKC", "none"], Meta(description="The Unicode normalization form.")] = "NFC",
    line_ends: bool = True,
    invisible: bool = True,
    trailing: bool = True,
    blanks: Annotated[bool, Meta(description="Make one space of every run of blanks within a line.")] = False,
    empty_lines: Annotated[int, Meta(ge=0, description="At most so many empty lines in a row.")] | None = None,
) -> api.Text:
    r"""Write texts in one way: the same characters for what looks the same. Texts inside JSON stay as they are.

    In this order: `line_ends` become \n (from \r\n, \r, vertical tab, form feed, U+0085, U+2028, U+2029); `invisible`
    characters go (ASCII's control characters but tab, U+00AD, U+200B, U+2060-2064, U+FEFF, the overrides of the writing
    direction U+202A-202E and U+2066-2069, U+FFF9-FFFB; the joiners U+200C and U+200D stay, for Persian, Indic scripts
    and emoji need them); the `unicode` form; `blanks`, on demand: a run of two or more spaces, tabs and other Unicode
    spaces within a line becomes one space, but the indentation at its beginning stays; `trailing` blanks of lines go;
    and more than `empty_lines` empty lines in a row go.

    A no-break space, U+0085 or soft hyphen that is a byte of a misread character (`Ã` and U+00A0: an à) stays, but for
    NFKC: `fix_text` could not mend the character without it.

    NFKC also replaces ligatures, full-width and superscript characters: x² becomes x2. NFC changes nothing that one
    sees.
    """
    parts = list(_normalising(unicode, line_ends, invisible, blanks, trailing, empty_lines))
    brings = [_bits(parts, part.brings) for part in parts]

    def clean(text: str, mark: int = ALL) -> str:
        for bit, part in enumerate(parts):
            if mark >> bit & 1:
                before, text = text, part.function(text)
                if text != before:
                    mark |= brings[bit]
        return text

    prefilter = Marks([part.shape for part in parts])
    # What NFKC makes of a misread text cannot be mended: nothing of it is worth keeping.
    return api.Text(clean if unicode == "NFKC" else mojibake.sparing(clean), prefilter=prefilter, nested=False)


class Part(msgspec.Struct, frozen=True):
    """One thing that `normalise` does: its `shape` stands in every text with something to do, and where it has changed
    a text, there may be something to do for the later parts that it `brings`."""

    name: str
    shape: Shape
    function: Callable[[str], str]
    brings: tuple[str, ...] = ()


def _bits(parts: list[Part], names: tuple[str, ...]) -> int:
    return sum(1 << bit for bit, part in enumerate(parts) if part.name in names)


def _normalising(
    unicode: str, line_ends: bool, invisible: bool, blanks: bool, trailing: bool, empty_lines: int | None
) -> Iterator[Part]:
    """The parts, in order.

    Neither `unicode` form nor `blanks` makes blanks at the end of a line that were none before. NFC makes none of what
    is none.
    """
    if line_ends or invisible:
        odd = (LINE_END if line_ends else "") + (INVISIBLE if invisible else "")
        replaced = _replacing(rf"[{odd}](?:(?<=\r)\n)?", _line_end_or_nothing)
        yield Part("odd", Shape(odd), replaced, ("trailing", "blanks", "empty_lines"))
    if trailing:
        yield Part("trailing", Shape(BLANK, r"\n", ends=True), _without_trailing, ("empty_lines",))
    if unicode != "none":
        others = NOT_NFC if unicode == "NFC" else r"^\x00-\x7f"
        yield Part("unicode", Shape(others), _normal_form(unicode), ("blanks",) if unicode == "NFKC" else ())
    if blanks:
        yield Part("blanks", Shape(BLANK, BLANK), _without_runs)
    if empty_lines is not None:
        fewer = _replacing(rf"\n{{{empty_lines + 2},}}", "\n" * (empty_lines + 1))
        yield Part("empty_lines", Shape(r"\n", r"\n", r"\n" * empty_lines), fewer)


def _replacing(pattern: str, by: str | Callable[[re.Match[str]], str]) -> Callable[[str], str]:
    compiled = re.compile(pattern)
    return lambda text: compiled.sub(by, text)


def _line_end_or_nothing(found: re.Match[str]) -> str:
    return "\n" if found[0][0] in LINE_END else ""


def _normal_form(form: Any) -> Callable[[str], str]:
    return lambda text: text if text.isascii() else unicodedata.normalize(form, text)


RUN = re.compile(rf"[{BLANK}][{BLANK}](?<=\S..)[{BLANK}]*")
SPACES = re.compile(r"  (?<=\S..) *")
"""RUN where there are no blanks but spaces. Python searches fast for patterns that begin with a set of characters, and
faster for those that begin with a text: where one looks back, that comes second."""


def _without_runs(text: str) -> str:
    return (SPACES if text.isascii() and "\t" not in text else RUN).sub(" ", text)


def _without_trailing(text: str) -> str:
    if "\n" not in text:
        return text.rstrip(BLANKS)
    return "\n".join([line.rstrip(BLANKS) for line in text.split("\n")])


@api.text_step(dependencies=["ftfy>=6.3"], code=CODE)
def fix_text(
    *,
    html: Annotated[bool, Meta(description="Also `&amp;` and its like, in texts without a `<`.")] = False,
    quotes: Annotated[bool, Meta(description="Also curly quotes, into straight ones.")] = False,
) -> api.Text:
    """Repair text that was read in the wrong encoding: `schÃ¶n` becomes `schön`. Nothing else is changed.

    What looks wrong is what the library ftfy finds: sequences of characters that come of UTF-8 read as Windows-1252,
    Latin-1, Mac Roman, Windows-1250 to 1257 and others, several times over. Texts inside tool calls are repaired too.
    """
    config = mojibake.config(html=html, quotes=quotes)
    suspects = mojibake.suspects()
    if html or quotes:
        hints = [suspects.pattern, *(["&"] if html else []), *(["[‘’ʼ“”]"] if quotes else [])]
        return api.Text(partial(mojibake.by_ftfy, config=config), prefilter="|".join(hints), beyond_ascii=not html)
    return api.Text(partial(mojibake.mended, config=config), prefilter=suspects, beyond_ascii=True)


def replace_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """A pattern must be one, and its replacement may only speak of groups that it has."""
    if not options["regex"]:
        return
    if fault := rows.pattern_fault(options["find"]):
        yield ("find",), f"not an RE2 pattern: {fault}"
    elif fault := _group_fault(options["find"], options["to"]):
        yield ("to",), fault


def _group_fault(find: str, to: str) -> str:
    if "\\" not in to:
        return ""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.replace_substring_regex(rows.strings([""]), find, to)
    except pa.ArrowInvalid as error:
        return str(error)
    return ""


@api.text_step(rules=[replace_rule], code=CODE)
def replace(
    *,
    find: Annotated[str, Meta(min_length=1, description="What is replaced: a text, or an RE2 pattern with `regex`.")],
    to: Annotated[str, Meta(description=r"What stands there afterwards; with `regex`, \1 is the first group.")] = "",
    regex: bool = False,
    count: Annotated[int, Meta(ge=1, description="At most so many replacements in each text.")] | None = None,
) -> api.Text:
    r"""Replace text: `find` by `to`, from left to right, in every text or in the first `count` places of each.

    With `regex`, `find` is an RE2 pattern: `(?i)` ignores case, `(?s)` lets `.` match line ends; \d, \s, \w and \b are
    about ASCII, \pL is any letter. Texts inside tool calls and other JSON values are covered; names of keys and of
    tools are not.
    """
    if not regex:
        most = -1 if count is None else count
        return api.Text(lambda text: text.replace(find, to, most), prefilter=re2_literal(find))

    def replaced(texts: pa.Array) -> pa.Array:
        import pyarrow.compute as pc

        return pc.replace_substring_regex(texts, find, to, max_replacements=count)

    def one(text: str) -> str:
        return str(replaced(rows.strings([text]))[0])

    return api.Text(one, prefilter=find, arrays=replaced)


def re2_literal(text: str) -> str:
    """A pattern that finds exactly this text."""
    return re.sub(r"([^0-9A-Za-z_\x80-\U0010ffff])", r"\\\1", text).replace("\\\0", r"\x00").replace("\\\n", r"\n")


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (strip, normalise, fix_text, replace)}
