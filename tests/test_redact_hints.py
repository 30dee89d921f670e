"""The hint of an address leaves none out."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec.builtin.redaction import contacts


@settings(max_examples=300, deadline=None)
@given(st.ip_addresses().map(str) | st.text("0129af::::..-g ", max_size=20))
def test_every_address_has_the_hint(text: str) -> None:
    spans = list(contacts.ENTITIES["ip"].spans(text))
    assert all(re.search(contacts.HINT, text[start:end]) for start, end in spans)


def test_an_address_of_one_group_is_none() -> None:
    assert not re.search(contacts.HINT, "a C++ name: std::string, and 1::")
    assert list(contacts.ENTITIES["ip"].spans("1::")) == []
    assert list(contacts.ENTITIES["ip"].spans("at 2001:db8::1 now")) == [(3, 14)]


NUMBERS = st.text(st.sampled_from("0123456789 ()+-./٣x,aé"), max_size=40)


@settings(max_examples=1000, deadline=None)
@given(NUMBERS, st.integers(0, 40))
def test_the_next_telephone_number_is_the_one_that_its_pattern_finds(text: str, start: int) -> None:
    found, wanted = contacts._next_phone(text, start), contacts.PHONE.search(text, start)
    assert (found and found.span()) == (wanted and wanted.span())


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(["Call ", "MOBİL", "mobıl ", "tel", "ſms", ".", " ", "número ", "at ", "Fax", "#"])))
def test_whatever_announces_a_number_has_one_of_the_stems(words: list[str]) -> None:
    text = "".join(words)
    wanted = contacts.ANNOUNCED.search(text, max(0, len(text) - 40), len(text))
    assert contacts._announced(text, len(text)) == bool(wanted)
