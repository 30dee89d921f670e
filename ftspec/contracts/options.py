"""Types that say more of an option than JSON can: that it is a file, a column, a secret, a provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

MARK = "x-ftspec"
"""The key of a JSON Schema by which core knows these types."""

Path = Annotated[str, Meta(extra_json_schema={MARK: "path"})]
"""A file, folder or glob. Relative to the spec there; core hashes its content and hands over an absolute path."""

Column = Annotated[str, Meta(extra_json_schema={MARK: "column"})]
"""The name of a column of the rows a cleaning step gets: core says so when no row has such a column."""

Secret = Annotated[str, Meta(extra_json_schema={MARK: "secret"})]
"""A text that may be `${secret:NAME}` in a step or check too, whose other options may not. What the component makes of
it must not tell the secret."""

Plain = Annotated[str, Meta(extra_json_schema={MARK: "plain"})]
"""A text that is used as it stands: `${secret:NAME}`, which options of a provider or source may else be, is refused."""

ProviderRef = Annotated[str | dict[str, Any], Meta(extra_json_schema={MARK: "provider"})]
"""A provider as a spec writes it, bare or with options: `{openai: {base_url: ...}}`. Core checks it, and builds it."""

TextColumns = Annotated[list[Column], Meta(description="Columns to work on; every text column when empty.")]


def names_provider(option: Mapping[str, Any]) -> bool:
    """Whether an option, by its JSON Schema, is a ProviderRef, or one or none."""
    return any(each.get(MARK) == "provider" for each in (option, *option.get("anyOf", ())))
