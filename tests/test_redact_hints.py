"""What looks before a search leaves nothing out: hints, quick ways to the next number, words of addresses."""

from __future__ import annotations

import ipaddress
import random
import re
import sys
from collections.abc import Iterator

import planted
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftspec import rows
from ftspec.builtin.redaction import accounts, catalogue, contacts, credentials, identities, telephones
from ftspec.builtin.redaction.entities import count_digits, find
from ftspec.builtin.redaction.numerals import Numerals
from ftspec.builtin.redaction.sieve import CASED, NUMERALS, Sieve, automaton, tables
from ftspec.builtin.spaced import SPACED
from ftspec.compiled import entitykernels, native
from ftspec.layout.textmaps import map_text

EVERYTHING = catalogue.sieve(["pii", "secrets"])
FIVE = catalogue.sieve(["email", "phone", "card", "iban", "ip"])


def values(seed: int, few: int) -> Iterator[str]:
    """Texts with values of every entity and every vendor's keys."""
    for source in ("faker", "mimesis"):
        yield from (text for text, _ in planted.sample(seed, few, source))
    rng = random.Random(seed)
    yield from (planted.secret(kind, rng).text for kind in planted.KINDS for _ in range(few))


VALUES = list(values(3, 3))
SIGNS = [*"0123456789 ()+-./@:=#'\"\n_,x", "٣", "é", "İ", "ı", "ſ", "\u212a", "\xa0", "call ", "is", "://", "SSN "]


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """Values with signs put between, cut anywhere, and others right behind them."""
    text = "".join(draw(st.lists(st.sampled_from(VALUES).map(lambda value: value[-120:]), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.sampled_from(SIGNS)) + text[place + draw(st.integers(0, 2)) :]
    return text


STRETCHES = st.sampled_from(["x" * 31, "words, and more: " * 3, "12 pages " * 4, "٣é" * 16, ""])
LONGER = st.tuples(STRETCHES, mangled(), STRETCHES).map("".join)
"""With bytes enough for `entitykernels.next_sign`."""


def same(sieve: Sieve, texts: pa.Array, marks: dict[int, int]) -> None:
    """What is found in the marked texts, of what the mark names, is what is found by looking at all for everything."""
    assert list(marks) == sorted(marks)
    for place, text in enumerate(texts.to_pylist()):
        wanted = [] if text is None else find(text, sieve.entities)
        assert (sieve.find(text, marks[place]) if place in marks else []) == wanted


def test_no_value_of_any_entity_is_left_out() -> None:
    marks = EVERYTHING(rows.strings(VALUES))
    found: set[str] = set()
    for place, text in enumerate(VALUES):
        wanted = EVERYTHING.find(text)
        assert (EVERYTHING.find(text, marks[place]) if place in marks else []) == wanted, text
        found |= {each.name for each in wanted}
    assert found == {name for name, _ in EVERYTHING.entities}


@settings(max_examples=100, deadline=None)
@given(mangled())
@example("+1 7 91 58٣ 9106 -----BEGIN EC PRIVATE KEY-----\nUzFrJDCZgrL5")
@example("https://ghp_16C7e42F292c6912E7710c838347Ae178B4a:s3cret99@host.example")
@example("hf_abcdefghijklmnopqrstuvwxyzABCDEFGH536-22-8726")
@example("66.166.2.10 +1-412-4٣-6404")
@example("AB12CDEF@x.example NO93 8 6 011117947")
@example("born before 1900: 880320+0016")
@example("password: " + "x" * 196 + "1234123456 789, call me")
def test_a_mark_leaves_out_nothing(text: str) -> None:
    for sieve in (EVERYTHING, FIVE):
        texts = rows.strings([text])
        same(sieve, texts, sieve.by_meshes(texts))


@settings(max_examples=40, deadline=None)
@given(st.lists(mangled() | st.text("07 +(.", max_size=8) | st.none(), max_size=5), st.integers(0, 2))
@example(["call 555 1234", "56789012345678901"], 0)
@example(["call 7", "my number 0171 2345678", "12345678"], 1)
def test_a_mark_leaves_out_nothing_of_many_texts(texts: list[str | None], first: int) -> None:
    for sieve in (EVERYTHING, FIVE):
        said = rows.strings(texts).slice(first)
        same(sieve, said, sieve.by_meshes(said))


@settings(max_examples=200, deadline=None)
@given(st.lists(mangled() | LONGER | st.text("07 +(.:a@-", max_size=10) | st.none(), max_size=5), st.integers(0, 2))
@example(["1.23.45.6", "::a:", "fe80::1:2", "a:b:", "AT12 3456"], 0)
def test_what_is_telling_leaves_out_nothing(compiled: native.Native, texts: list[str | None], first: int) -> None:
    said = rows.strings(texts).slice(first)
    same(FIVE, said, FIVE.by_machine(compiled, said))


def test_no_value_is_without_what_is_telling(compiled: native.Native) -> None:
    texts = rows.strings(VALUES)
    same(FIVE, texts, FIVE.by_machine(compiled, texts))
    plain = ["the 3rd of 12 pages: see 2.5", "dict[str, int]: a::", "10-30", "ab12", "", "A12", "12", "1 2 3 4 5 6"]
    assert not compiled.telling(*native.laid_out(rows.strings(plain)), *tables()).any()
    assert FIVE.by_machine(compiled, rows.strings(plain)) == {}
    assert FIVE.telling and not EVERYTHING.telling


PHONES = [
    "call ",
    "CALL me ",
    "mobıl ",
    "tel:",
    "+",
    "(",
    ")",
    "0",
    "1 ",
    "212",
    "555-0123",
    "7",
    "٣",
    "é",
    " ",
    "-",
    "\n",
]
PHONES += [".", ", ", " office", " İs my phone", "(fax", "x12", "ext. 4", "2345678", "[", "00 49", "a", "_"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PHONES), max_size=12).map("".join), min_size=1, max_size=4))
def test_every_text_with_a_telephone_number_is_marked(compiled: native.Native, texts: list[str]) -> None:
    said, sieve = rows.strings(texts), catalogue.sieve(["phone"])
    marks = sieve.by_meshes(said).keys() & sieve.by_machine(compiled, said)
    assert {place for place, text in enumerate(texts) if list(telephones.ENTITIES["phone"].spans(text))} <= marks


def test_a_telephone_number_is_marked_however_it_is_written(compiled: native.Native) -> None:
    import rstr

    draw, sieve = rstr.Rstr(random.Random(1)), catalogue.sieve(["phone"])
    written = [draw.xeger(telephones.GROUPED.pattern) for _ in range(2000)]
    written += ["+(49) 30 1234567", "+((49) 30 1234567", "(+(49) 30 1234567", "(+49) 30 1234567", "+49 (30) 1234567"]
    texts = [around.format(each) for each in written for around in ("{}", "a {}, b", "({}", "{}\n")]
    found = {place for place, text in enumerate(texts) if sieve.find(text)}
    assert len(found) > len(written)
    assert found <= sieve.by_machine(compiled, rows.strings(texts)).keys()
    assert found <= sieve.by_meshes(rows.strings(texts)).keys()


STEMS = automaton(telephones.ALL_STEMS)
PIECES = [*telephones.ALL_STEMS, *(stem.upper() for stem in telephones.ALL_STEMS), *CASED, "a", " ", "\xc3", "机"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES).flatmap(lambda piece: st.sampled_from([piece, piece[:-1], piece[1:]]))))
@example(["fo", "foon"])
@example(["mess", "mobil"])
def test_an_automaton_finds_the_words_that_re2_finds(pieces: list[str]) -> None:
    text, state = "".join(pieces), 0
    for byte in text.encode():
        state = entitykernels.FOUND if state == entitykernels.FOUND else int(STEMS[state, byte])
    wanted = pc.match_substring_regex(rows.strings([text]), telephones.STEM)[0].as_py() or any(map(text.count, CASED))
    assert (state == entitykernels.FOUND) == wanted


def test_digits_beyond_ascii_begin_as_it_says() -> None:
    every = (chr(code) for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000)
    assert {each.encode()[0] for each in every if each.isdecimal()} == set(NUMERALS)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("0123 ./-a", max_size=12), min_size=1, max_size=4), st.integers(2, 4), st.integers(1, 2))
def test_series_of_digits(texts: list[str], count: int, most: int) -> None:
    numerals = Numerals(rows.strings(["9", *texts]).slice(1))
    pattern = re.compile(rf"\d(?=(?:[ .]{{0,{most}}}\d){{{count - 1}}})")
    wanted = [(place, match.start()) for place, text in enumerate(texts) for match in pattern.finditer(text)]
    begin = numerals.series(count, " .", most)
    places = numerals.places(begin)
    assert list(zip(places.tolist(), (numerals.at[begin] - numerals.starts[places]).tolist(), strict=True)) == wanted


CARDS = [
    "4111 1111 1111 1111",
    "5500-0000-0000-0004",
    "340000000000009",
    "6",
    "12",
    " ",
    "-",
    "a",
    "4",
    "50",
    "1 ",
    "é",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.sampled_from(CARDS), max_size=6).map("".join), min_size=1, max_size=3))
def test_every_text_with_a_card_is_marked(compiled: native.Native, texts: list[str]) -> None:
    said, sieve = rows.strings(texts), catalogue.sieve(["card"])
    marks = sieve.by_meshes(said).keys() & sieve.by_machine(compiled, said)
    assert {place for place, text in enumerate(texts) if list(accounts.ENTITIES["card"].spans(text))} <= marks


@settings(max_examples=200, deadline=None)
@given(st.text("0159", min_size=12, max_size=19))
def test_luhn_is_that_of_stdnum(number: str) -> None:
    from stdnum import luhn

    assert accounts._is_luhn(number) == luhn.is_valid(number)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["0", "00", "1", "09", "99", "249", "255", "256", "300", "٣"]), min_size=4, max_size=4))
def test_addresses_of_four_bytes_are_those_of_ipaddress(numbers: list[str]) -> None:
    text = ".".join(numbers)
    try:
        valid = bool(ipaddress.IPv4Address(text))
    except ValueError:
        valid = False
    assert bool(contacts.V4.fullmatch(text)) == valid


def test_marks_name_few() -> None:
    said = ["a@b.example", "nothing", "It was 2024-01-02.", "4111 1111 1111 1111", "at 10.0.0.1", "call 555 1234", None]
    marks = FIVE(rows.strings(said))
    assert {place: {name for name, _ in FIVE._of(mark)} for place, mark in marks.items()} == {
        0: {"email"}, 3: {"card"}, 4: {"ip"}, 5: {"phone"},
    }  # fmt: skip


def test_the_second_argument_is_the_mark() -> None:
    batch = rows.from_dicts([{"a": "one"}, {"a": "two"}, {"a": {"deep": "two"}}])
    texts = rows.from_dicts([{"a": "one"}, {"a": "two"}])

    def function(text: str, mark: int = 0) -> str:
        return f"{text} {mark}"

    after = map_text(texts, function, prefilter=lambda array: {1: 5})
    assert rows.to_dicts(after) == [{"a": "one"}, {"a": "two 5"}]
    assert map_text(texts, lambda text, mark: text, prefilter=lambda array: {0: 1}) is texts
    assert rows.to_dicts(map_text(batch, function, prefilter=lambda array: {}))[2] == {"a": {"deep": "two 0"}}


@settings(max_examples=150, deadline=None)
@given(st.ip_addresses().map(str) | st.text("0129af::::..-g ", max_size=20))
def test_every_address_has_the_hint(text: str) -> None:
    spans = list(contacts.ENTITIES["ip"].spans(text))
    matches = [match for match in contacts.ADDRESS.finditer(text) if contacts._is_address(match)]
    assert spans == [match.span() for match in matches]
    hint = rf"{contacts.HINT}|\d\.\d{{1,3}}\.\d{{1,3}}\.\d"
    assert all(re.search(hint, text[start:end]) for start, end in spans)
    assert bool(contacts.GROUPS.search(text)) == bool(re.search(hint, text, re.ASCII))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["v", "Ver.", "VERſION", "releases", "build", "§", "host", "ver"]), st.text(" :=\na", max_size=4)
)
def test_a_version_is_told_by_its_last_letter(word: str, signs: str) -> None:
    text = f"{word}{signs} 10.0.0.1"
    *_, match = contacts.ADDRESS.finditer(text)
    assert contacts._is_address(match) == (contacts.VERSION_BEFORE.search(text, 0, match.start()) is None)


def test_an_address_of_one_group_is_none() -> None:
    assert not re.search(contacts.HINT, "a C++ name: std::string, and 1::")
    assert list(contacts.ENTITIES["ip"].spans("1::")) == []
    assert list(contacts.ENTITIES["ip"].spans("at 2001:db8::1 now")) == [(3, 14)]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([" ", "@", "a", "b.co", ".", "-", "é", "\n", "x@y.org", ","]), max_size=14).map("".join)
)
def test_addresses_are_found_word_by_word(text: str) -> None:
    assert list(contacts._emails(text)) == [match.span() for match in contacts.EMAIL.finditer(text)]


NUMBERS = st.text(st.sampled_from("0123456789 ()+-./٣x,aé"), max_size=40)


@settings(max_examples=400, deadline=None)
@given(NUMBERS, st.integers(0, 40))
def test_the_next_telephone_number_is_the_one_that_its_pattern_finds(text: str, start: int) -> None:
    found, wanted = telephones._next_phone(text, start), telephones.PHONE.search(text, start)
    assert (found and found.span()) == (wanted and wanted.span())


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ABZ019 -_é٣"), max_size=40), st.integers(0, 40))
def test_the_next_account_is_the_one_that_its_pattern_finds(text: str, start: int) -> None:
    found, wanted = accounts._next_iban(text, start), accounts.IBAN.search(text, start)
    assert (found and found.span()) == (wanted and wanted.span())


PATTERNS = [telephones.PHONE, accounts.IBAN, accounts.CARD, *map(identities.pattern, identities.FORMATS.values())]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PATTERNS), st.text(st.sampled_from("0123456789 ()+-./x,ABDGH"), max_size=30))
def test_a_match_is_found_again_where_the_text_ends_with_it(pattern: re.Pattern[str], text: str) -> None:
    for match in pattern.finditer(text):
        again = pattern.match(text, match.start(), match.end())
        assert again and again.span() == match.span()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["Call ", "MOBİL", "mobıl ", "tel", "ſms", ".", " ", "número ", "at ", "Fax", "#"])))
def test_whatever_announces_a_number_has_one_of_the_stems(words: list[str]) -> None:
    text = "".join(words)
    wanted = telephones.ANNOUNCED.search(text, max(0, len(text) - 40), len(text))
    assert telephones._announced(text, len(text)) == bool(wanted)


@pytest.mark.parametrize("country", ["DE", "NL", "FR", "GB", "MT", "XX", "BR"])
@settings(max_examples=30, deadline=None)
@given(account=st.text("AZ059", min_size=11, max_size=30), check=st.sampled_from(["right", "00", "47"]))
def test_accounts_are_those_of_stdnum(country: str, account: str, check: str) -> None:
    from stdnum import iban

    number = country + (iban.calc_check_digits(f"{country}00{account}") if check == "right" else check) + account
    match = accounts.IBAN.fullmatch(number)
    assert match and accounts._is_iban(match) == iban.is_valid(number, check_country=False)


def test_accounts_of_every_length_are_those_of_stdnum() -> None:
    from stdnum import iban

    faker = planted.faker("de_DE")
    for number in (faker.iban() for _ in range(20)):
        match = accounts.IBAN.fullmatch(number)
        assert match and accounts._is_iban(match) and iban.is_valid(number)


def test_a_script_parts_words_by_spaces_or_it_does_not() -> None:
    ours = re.compile(SPACED)
    unspaced = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    excluded = re.compile(rf"[^\W{unspaced}]")
    odd = [code for code in range(sys.maxunicode + 1) if bool(ours.match(chr(code))) != bool(excluded.match(chr(code)))]
    assert not odd


def test_every_vendors_keys_have_the_lead() -> None:
    import rstr

    rng = random.Random(5)
    make = rstr.Rstr(rng)
    hint = str(credentials.ENTITIES["api_key"].hint)
    for vendor, pattern in credentials.TOKENS.items():
        written = re.sub(r"\{(\d+),\}", r"{\1}", pattern).replace(r"[\w", "[A-Za-z0-9_").replace(r"\w", "[A-Za-z0-9_]")
        for _ in range(30):
            text = rng.choice(["", " ", "_", "="]) + make.xeger(written)
            assert credentials.TOKEN.search(text) and re.search(hint, text, re.ASCII), (vendor, text)


def test_digits() -> None:
    assert count_digits("+1 (٣2)-3x") == 3
