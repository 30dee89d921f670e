"""Names of people out of the rows: the cleaning step `redact_names`, by named-entity recognition of spaCy."""

from __future__ import annotations

from ftspec import api
from ftspec_names.step import redact_names


@api.hookimpl
def ftspec_cleaners() -> dict[str, api.Component]:
    return {"redact_names": redact_names}
