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
