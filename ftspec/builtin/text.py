"""Cleaning steps that change texts, wherever they stand in a row."""

from __future__ import annotations

from ftspec import api

SPACE = r"[\s\x0b\x1c-\x1f\x85\pZ]"


@api.text_step
def strip() -> api.Text:
    """Remove white space around every text. Texts inside tool calls and other JSON stay as they are."""
    return api.Text(str.strip, prefilter=rf"^{SPACE}|{SPACE}\z", nested=False)


COMPONENTS: dict[str, api.Component] = {"strip": strip}
