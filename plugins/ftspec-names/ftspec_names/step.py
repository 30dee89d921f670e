"""The step `redact_names`: options, and one row's texts from where they stand to where they stood."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from ftspec import api, rows
from ftspec_names.finding import Finder
from ftspec_names.replacing import Replacer

LETTER = re.compile(r"[^\W\d_]")
"""What a text must have to be worth a look."""
WRITTEN = ("config.cfg", "meta.json")
"""What spaCy writes into the folder of every pipeline, and must find there."""


def model_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """One pipeline: a package by its name, or a folder."""
    if (options["model"] is None) == (options["path"] is None):
        yield (), "say which pipeline finds the names: `model: en_core_web_sm` (a package) or `path` (a folder)"


def folder_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """A folder as spaCy writes one, told without spaCy. One that is not there is told elsewhere."""
    path = Path(options["path"] or "")
    if options["path"] is None or not path.exists():
        return
    missing = [name for name in WRITTEN if not (path / name).is_file()]
    if missing:
        without = f"there is no {' and no '.join(missing)} in it" if path.is_dir() else "it is a file"
        yield ("path",), f"no spaCy pipeline: {without}; name the folder that `nlp.to_disk` or `spacy train` wrote"


def model_package(options: Mapping[str, Any]) -> dict[str, str]:
    """The pipeline's package, which is a distribution like any other, with a version."""
    return {options["model"]: f"python -m spacy download {options['model']}"} if options["model"] else {}


@api.row_step(
    private=True,
    rules=[model_rule, folder_rule],
    dependencies=["spacy>=3.8.2"],
    install="pip install ./plugins/ftspec-names",
    packages=model_package,
    code=["ftspec_names.finding", "ftspec_names.replacing"],
)
def redact_names(
    *,
    model: Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9_]*$")] | None = None,
    path: api.Path | None = None,
    labels: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(description="What is a name.")] = [],
    placeholders: Literal["plain", "row"] = "plain",
    parts: bool = True,
    min_length: Annotated[int, Meta(ge=1)] = 2,
    columns: Annotated[list[api.Column], Meta(description="Columns to work on; all of them when empty.")] = [],
) -> api.RowStep:
    """Replace names of people by [NAME], as a spaCy pipeline finds them. Tool calls' arguments are covered.

    A name that is found in one text of a row is replaced in all texts of that row. A model misses names, and takes
    words for names that are none: look at samples.

    Args:
        model: the package of a spaCy pipeline, e.g. en_core_web_sm; its version is part of the data.
        path: in its place, the folder of a pipeline, e.g. one that you have trained; its content is part of the data.
        labels: the pipeline's own labels of what to replace; when empty people, however it calls them. ORG becomes
            [ORG], GPE and LOC become [PLACE], any other label itself in brackets.
        placeholders: `plain` ([NAME]); `row` ([NAME_1], [NAME_2]: within a row, the same name has the same number).
        parts: also replace, in the same row, the words of a person's name where they stand alone: after "Anna Schmidt"
            also "Schmidt", as it is written there.
        min_length: names of fewer characters stay.
    """
    return Step(Finder(model, path, labels, min_length), Replacer(placeholders == "row", parts), columns)


class Step:
    """One row at a time: what is replaced in a text depends on the row's other texts, and on no other row."""

    def __init__(self, finder: Finder, replacer: Replacer, columns: list[str]) -> None:
        self.finder, self.replacer, self.columns = finder, replacer, columns

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        batch = rows.from_dicts([row], [name for name, value in row.items() if isinstance(value, list)])
        texts: dict[str, None] = {}
        self._map(batch, lambda text: texts.setdefault(text) or text)
        after = self.replacer({text: self.finder(text) if LETTER.search(text) else () for text in texts})
        if not after:
            return row
        (changed,) = rows.to_dicts(self._map(batch, lambda text: after.get(text, text)))
        return changed

    def _map(self, batch: Any, function: Callable[[str], str]) -> Any:
        """Every text of the row by the function, wherever it stands: what `redact` covers."""
        return rows.map_text_by_row(batch, lambda _: function, columns=self.columns, whole=True)
