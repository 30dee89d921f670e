"""Cleaning steps over texts: normalise, fix_text, replace. Each prefilter is held to what it lets through."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

import pyarrow.compute as pc
import pytest
from ftfy.badness import BADNESS_RE, MOJIBAKE_CATEGORIES
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec import api, rows
from ftspec.builtin import mojibake, text
from ftspec.layout.texts import PLAIN


def done(component: api.Component, *said: str, **options: Any) -> list[str]:
    """What becomes of the texts, as core runs a text step."""
    step = component.build(options)
    where = {name: getattr(step, name) for name in ("prefilter", "nested", "beyond_ascii", "arrays")}
    after = rows.map_text(rows.from_dicts([{"a": each} for each in said]), step.function, **where)
    return [row["a"] for row in rows.to_dicts(after)]


def by_ftfy(said: str) -> str:
    """What ftfy makes of a text by itself."""
    return mojibake.by_ftfy(said, mojibake.config())


MESSY = st.text(
    st.sampled_from(
        "ab \t\r\n\v\f\x00\x1b\x85\u2028\u00a0\u3000\u00ad\u200b\u200d\ufeffe\u0301ｘﬁ\u1100\u1161Å\u0344²"
        "A\u0303Ãâð€š´\x9f\x98"  # what misread characters are made of
    )
)
EVERY = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]


def test_strip_and_empty_texts_know_the_same_white_space_as_python() -> None:
    said = [f"{each}a{each}" for each in EVERY]
    assert done(text.strip, *said) == [each.strip() for each in said]
    empty = rows.is_empty(rows.strings([*EVERY, "", " \u3000\n", " a"])).to_pylist()
    assert empty == [*(each.isspace() for each in EVERY), True, True, False]


@pytest.mark.parametrize(
    ("before", "after", "options"),
    [
        ("cafe\u0301", "café", {}),
        ("\u212b ｘ²", "Å ｘ²", {}),
        ("ｘ² ﬁ\u00a0", "x2 fi", {"unicode": "NFKC"}),
        ("cafe\u0301", "cafe\u0301", {"unicode": "none"}),
        ("a\r\nb\rc\u2028d\x0be\x85f", "a\nb\nc\nd\ne\nf", {}),
        ("a\r\nb", "a\r\nb", {"line_ends": False, "trailing": False, "invisible": False}),
        ("\ufeffa\u200bb\x00c\u00add\x1b[0m\u202ee", "abcd[0me", {}),
        ("می\u200cخواهم \U0001f469\u200d\U0001f4bb\tx", "می\u200cخواهم \U0001f469\u200d\U0001f4bb\tx", {}),
        ("a  \n b\t\u00a0", "a\n b", {}),
        ("a  \n", "a  \n", {"trailing": False}),
        ("    if x:  # note", "    if x:  # note", {}),
        ("    if x:  # note\tb \u3000c", "    if x: # note\tb c", {"blanks": True}),
        ("a\n\n\n\n\nb", "a\n\n\n\n\nb", {}),
        ("a\n \n\n\n\nb\n\nc", "a\n\nb\n\nc", {"empty_lines": 1}),
        ("a\n\n\nb", "a\nb", {"empty_lines": 0}),
        ("e\u200b\u0301", "é", {}),
    ],
)
def test_normalise(before: str, after: str, options: dict[str, Any]) -> None:
    assert done(text.normalise, before, "plain", **options) == [after, "plain"]


@settings(max_examples=200, deadline=None)
@given(MESSY, st.booleans(), st.sampled_from(["NFC", "NFKC", "none"]), st.sampled_from([None, 0, 1]))
def test_normalise_finds_all_that_it_changes_and_leaves_nothing_to_do(
    said: str, blanks: bool, unicode: str, empty_lines: int | None
) -> None:
    options = {"blanks": blanks, "unicode": unicode, "empty_lines": empty_lines}
    step = text.normalise.build(options)
    once = step.function(said)
    assert done(text.normalise, said, **options) == [once]
    assert step.function(once) == once


def test_nfc_makes_blanks_of_blanks_alone() -> None:
    """No run of them, which `normalise` would have to look for afterwards."""
    forms = {each: unicodedata.normalize("NFC", each) for each in map(chr, range(0x110000))}
    others = {each: form for each, form in forms.items() if form != each}
    blanks = set(text.BLANKS)
    assert all(blanks.isdisjoint(form) if each not in blanks else form in blanks for each, form in others.items())


def test_normalise_finds_every_character_that_has_another_form() -> None:
    characters = [chr(code) for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]
    wanted = [each for each in characters if unicodedata.combining(each) or unicodedata.normalize("NFC", each) != each]
    jamo = [chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))]
    pattern = text.normalise.build({"line_ends": False, "invisible": False, "trailing": False}).prefilter.pattern
    found = pc.match_substring_regex(rows.strings([*wanted, *jamo]), pattern)
    assert [each for each, hit in zip([*wanted, *jamo], found.to_pylist(), strict=True) if not hit] == []
    plain = rows.strings(["naïve “quotes” – café", "Größe", "これはテスト", "Привет", "안녕"])
    assert not pc.any(pc.match_substring_regex(plain, pattern)).as_py()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Stra\u00dfe gr\u00f6\u00df\u00adte", "Straße größte"),
        ("É\u00adCOLE\u00a0: à\u00a0 la", "ÉCOLE\u00a0: à la"),
        ("é\x85b", "é\nb"),
    ],
)
def test_normalise_takes_what_is_no_part_of_a_misread_character(before: str, after: str) -> None:
    assert done(text.normalise, before, blanks=True) == [after]


@pytest.mark.parametrize("encoding", ["latin-1", "sloppy-windows-1252"])
@pytest.mark.parametrize(
    "said",
    [
        "así es — voilà  là", "à", "正しい文字を 表す。", "这个字的编码是正确的", "Ångström ĭ Ơ", "Ну что ж, Россия",
        "έργο Πέτρου", "😅 😭", "שלום", "قلم حبر", "a\u00a0b\u00a0\u00a0c", "„Würde‟ à\nla",
    ],
)  # fmt: skip
def test_normalise_leaves_misread_text_so_that_it_can_be_mended(said: str, encoding: str) -> None:
    """Whichever of the two steps comes first, the same comes out; an NBSP in the text itself is like any other."""
    misread = f"“{said}”".encode().decode(encoding)
    mended = [f"“{said}”"]
    for options in ({}, {"blanks": True}):
        first = done(text.normalise, *done(text.fix_text, misread), **options)
        last = done(text.normalise, *done(text.fix_text, *done(text.normalise, misread, **options)), **options)
        assert first == last == done(text.normalise, *mended, **options)


def test_normalise_leaves_json_and_tool_calls_alone() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": '{"by": ",  "}'}}
    row = {"a": {"b": "x "}, "messages": [{"role": "assistant", "content": "x ", "tool_calls": [call]}]}
    step = text.normalise.build({})
    after = rows.to_dicts(rows.map_text(rows.from_dicts([row]), step.function, prefilter=step.prefilter, nested=False))
    assert after == [{"a": {"b": "x "}, "messages": [{"role": "assistant", "content": "x", "tool_calls": [call]}]}]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("schÃ¶n", "schön"),
        ("â€œquotedâ€\x9d", "“quoted”"),
        ("l’humanitÃ©", "l’humanité"),
        ("РџСЂРёРІРµС‚", "Привет"),
        ("schÃƒÂ¶n", "schön"),
        ("“Größe” – naïve, 10 €, ½ ™, これは", "“Größe” – naïve, 10 €, ½ ™, これは"),
        ("a &amp; b \x1b[1m ﬁ\r\n", "a &amp; b \x1b[1m ﬁ\r\n"),
    ],
)
def test_fix_text(before: str, after: str) -> None:
    assert done(text.fix_text, before) == [after]


def test_fix_text_on_demand() -> None:
    assert done(text.fix_text, "a &amp; “b”", html=True) == ["a & “b”"]
    assert done(text.fix_text, "a &amp; “b”", quotes=True) == ['a &amp; "b"']


WORSE = st.text(st.sampled_from([*"abz AZ.-\n\u3000\x85\u0301_", *re.findall(r"[^\x00-\x7f]", BADNESS_RE.pattern)]))


@settings(max_examples=500, deadline=None)
@given(WORSE)
def test_fix_text_looks_at_all_that_ftfy_would_mend(said: str) -> None:
    step = text.fix_text.build({})
    if BADNESS_RE.search(said):
        assert step.prefilter.by_pattern(rows.strings([said]))
    assert done(text.fix_text, said) == [by_ftfy(said)]


def test_every_pair_that_ftfy_finds_bad_is_a_suspect() -> None:
    others = re.sub(r"[\x00-\x7f]", "", BADNESS_RE.pattern)
    of_ftfy = re.compile(f"[{''.join(MOJIBAKE_CATEGORIES.values())} {others}]")
    characters = [each for each in EVERY if of_ftfy.match(each)]
    assert {"έ", "я", "\x80", "ф", "Ø", "║"} <= set(characters)
    said = [f"a{first}{second}a" for first in characters for second in characters]
    bad = [each for each in said if BADNESS_RE.search(each)]
    marks = "".join(MOJIBAKE_CATEGORIES[name] for name in ("start_punctuation", "end_punctuation"))
    said = [f" é{mark}{third}" for mark in re.findall(f"[{marks}]", "".join(characters)) for third in EVERY]
    bad += [each for each in said if BADNESS_RE.search(each)]
    assert len(bad) > 1_000_000
    assert pc.all(pc.match_substring_regex(rows.strings(bad), mojibake.suspects().pattern)).as_py()
    assert all(map(mojibake.is_bad, bad[::7]))


@given(st.text(st.sampled_from("ab \x7f\x85\xa0\xadÃÂàâð\x9f\x98´\u0301")))
def test_what_is_part_of_a_misread_character_stands_behind_one_beyond_ascii(said: str) -> None:
    assert mojibake._may_be_misread(said) or not mojibake.MISREAD.search(said)
    assert not mojibake._may_be_misread(said) or re.search("[^\x00-\x7f][\x85\xa0\xad]", said)


@pytest.mark.parametrize("times", [1, mojibake.PATIENCE - 1, mojibake.PATIENCE, 1000])
def test_capitals_with_accents_are_no_mojibake_and_hide_none(times: int) -> None:
    capitals = "ÀÀ ÉÉ " * times
    assert not mojibake.is_bad(capitals)
    assert mojibake.is_bad(f"{capitals}schÃ¶n") and mojibake.is_bad(f"schÃ¶n {capitals}")
    assert done(text.fix_text, f"{capitals}schÃ¶n") == [by_ftfy(f"{capitals}schÃ¶n")] == [f"{capitals}schön"]


def test_another_version_of_ftfy_is_asked_of_every_text(monkeypatch: pytest.MonkeyPatch) -> None:
    caches = (mojibake._pairs, mojibake._suspects)
    try:
        monkeypatch.setattr(mojibake, "KNOWN", 1)
        for each in caches:
            each.cache_clear()
        assert done(text.fix_text, "schÃ¶n", "schön", "a") == ["schön", "schön", "a"]
        assert text.fix_text.build({}).prefilter.pattern == r"[^\x00-\x7f]"
    finally:
        for each in caches:
            each.cache_clear()


BROKEN = st.builds(
    lambda said, wrong, times: _misread(said, wrong, times),
    st.text(st.sampled_from("abé ö\n“”’–€ÃÂà\xa0\u0441П日\ufffd\x1a\x81?\uac00\U0001f600"), max_size=12),
    st.sampled_from(["latin-1", "cp1252", "cp1251", "mac-roman"]),
    st.integers(0, 3),
)


def _misread(said: str, wrong: str, times: int) -> str:
    for _ in range(times):
        said = said.encode().decode(wrong, errors="replace")
    return said


@settings(max_examples=300, deadline=None)
@given(st.lists(BROKEN | WORSE, min_size=1, max_size=4))
def test_fix_text_is_what_ftfy_makes(said: list[str]) -> None:
    joined = [*said, "\n".join(said), "".join(said)]
    assert done(text.fix_text, *joined) == [by_ftfy(each) for each in joined]


def test_fix_text_looks_at_every_line() -> None:
    assert done(text.fix_text, "X.\nÂ 5") == [by_ftfy("X.\nÂ 5")] != ["X.\nÂ 5"]


@pytest.mark.parametrize("arguments", ['{"by": "schÃ¶n"}', r'{"by": "sch\u00c3\u00b6n"}'])
def test_fix_text_mends_the_arguments_of_tool_calls(arguments: str) -> None:
    """Also such as are escaped, in a JSON text of ASCII alone."""
    plain = {"id": "1", "function": {"name": "f", "arguments": '{"a":  1}'}}
    call = {"id": "1", "function": {"name": "f", "arguments": arguments}}
    said = [{"messages": [{"role": "assistant", "tool_calls": [each]}]} for each in (plain, call)]
    step = text.fix_text.build({})
    before = rows.from_dicts([{}, *said])
    after = rows.to_dicts(rows.map_text(before, step.function, prefilter=step.prefilter, beyond_ascii=True))
    found = [row["messages"][0]["tool_calls"][0]["function"]["arguments"] for row in after[1:]]
    assert found == ['{"a":  1}', '{"by":"schön"}']


def test_fix_text_mends_json_columns_and_parts() -> None:
    part = {"type": "text", "text": "schÃ¶n"}
    before: list[dict[str, Any]] = [
        {"a": {"b": ["schÃ¶n"]}, "messages": [{"role": "user", "content": [part]}]},
        {"a": {"b": 1}},
        {},
    ]
    step = text.fix_text.build({})
    batch = rows.map_text(rows.from_dicts(before), step.function, prefilter=step.prefilter, beyond_ascii=True)
    assert rows.to_dicts(batch) == json.loads(json.dumps(before).replace(r"\u00c3\u00b6", r"\u00f6"))


@pytest.mark.parametrize(
    ("before", "after", "options"),
    [
        ("a.b.c", "a-b-c", {"find": ".", "to": "-"}),
        ("a.b.c", "a-b.c", {"find": ".", "to": "-", "count": 1}),
        ("aaa", "ba", {"find": "aa", "to": "b"}),
        ("tel: 12-34", "tel: N-N", {"find": r"\d+", "to": "N", "regex": True}),
        ("tel: 12-34", "tel: N-34", {"find": r"\d+", "to": "N", "regex": True, "count": 1}),
        ("Doe, Jane", "Jane Doe", {"find": r"(\w+), (\w+)", "to": r"\2 \1", "regex": True}),
        ("ÄRGER", "x", {"find": "(?i)ärger", "to": "x", "regex": True}),
        ("a(b", "a[b", {"find": "(", "to": "["}),
        ("x\ny", "xy", {"find": "\n"}),
    ],
)
def test_replace(before: str, after: str, options: dict[str, Any]) -> None:
    assert done(text.replace, before, "nothing", **options) == [after, "nothing"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=4).filter(bool), st.text(st.sampled_from("ab.*\\x00\n(é"), max_size=8))
def test_replace_finds_any_literal(find: str, said: str) -> None:
    whole = said + find + said
    assert done(text.replace, whole, find=find, to="é") == [whole.replace(find, "é")]


def test_replace_refuses_what_is_no_pattern() -> None:
    def faults(**options: Any) -> list[Any]:
        return [clash for rule in text.replace.rules for clash in rule(text.replace.convert(options))]

    assert faults(find="(") == []
    assert [path for path, _ in faults(find="(", regex=True)] == [("find",)]
    assert [path for path, _ in faults(find="a", to=r"\1", regex=True)] == [("to",)]
    assert faults(find="(a)", to=r"\1", regex=True) == []
    assert [path for path, _ in faults(find="(?=a)", regex=True)] == [("find",)]


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from("ab(?:)[^-]*+{2,}|\\dwsbn.$i&~1é"), max_size=10))
def test_a_pattern_that_is_taken_without_asking_re2_is_one(pattern: str) -> None:
    if PLAIN.fullmatch(pattern) and not rows.pattern_fault(pattern):
        pc.match_substring_regex(rows.strings(["a"]), pattern)


@pytest.mark.parametrize("pattern", [r"\d+", "^(a|b)?$", "[a-z]{2,3}", r"(?i)\bab\b", r"a\.b", "[^x]+?"])
def test_plain_patterns_need_no_arrow(pattern: str) -> None:
    assert PLAIN.fullmatch(pattern)


@pytest.mark.parametrize("pattern", ["(?=a)", "a++", r"(a)\1", "(", "a{2000}", "[", r"\Z", "*"])
def test_what_is_no_pattern_of_re2(pattern: str) -> None:
    assert rows.pattern_fault(pattern)
