"""Change values in the text of a spec and leave every other character as it is: comments, order, spelling, spacing.

The text is edited at the positions that PyYAML's parser tells. A round trip through a YAML writer (ruamel.yaml's too)
keeps comments, and yet writes the whole file anew: indentation, quotes and line breaks of parts that nobody touched
change, and a comment goes along with the key before it. Whatever comes out is read again: it must say what was wanted,
or is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ftspec.common.errors import FtspecError
from ftspec.document import document, nodes, scalars

Cut = tuple[int, int, str]
"""(start, end, text): what takes the place of text[start:end]."""


def edit(text: str, wanted: Mapping[str, Any], renamed: Mapping[str, str] | None = None, note: str = "removed") -> str:
    """The text of a spec, changed so that it says `wanted`. What it does not say any more stays as a comment.

    Args:
        renamed: by top-level key, the key under it that stands for another one now: its place and comments stay.
        note: what the comments begin with.

    Raises FtspecError where the text cannot be edited (anchors in what has to change).
    """
    text = text.removeprefix("\ufeff")
    root: Any = yaml.compose(text, Loader=nodes.PARSER)
    now = document.read_text(text, Path("spec.yaml")).data
    made = _Editor(text, renamed or {}, note)
    if root.flow_style:
        made.cuts.append((*made._extent(root), written(wanted)))
    else:
        made.block(root, now, wanted)
    edited = made.done()
    again = document.read_text(edited, Path("spec.yaml"))
    if again.problems or again.data != wanted:
        raise FtspecError(
            "the spec cannot be edited in place: anchors, or comments inside of a value that has to change",
            "write the values of `provider`, `model`, `method` and `hyperparameters` out, a line each",
        )
    return edited


def written(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(str(key))}: {written(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    return _text(value) if isinstance(value, str) else _number(value)


def _text(text: str) -> str:
    """A text without quotes where it is one without them anywhere, else with double quotes."""
    plain = text.isprintable() and text.strip() == text and text != "" and not set(text) & set(",[]{}&*!|>'\"%@`#")
    if plain and ": " not in text and not text.endswith(":") and not text.startswith(("- ", "? ", "-", "?")):
        try:
            if scalars.read(text) == text:
                return text
        except scalars.ScalarFault:
            pass
    return json.dumps(text, ensure_ascii=False)


def _number(value: Any) -> str:
    """Numbers, true, false and null; a number with an exponent gets a point, without which YAML 1.1 reads a text."""
    shown = json.dumps(value)
    if not isinstance(value, float):
        return shown
    mantissa, e, exponent = shown.partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else shown


class _Editor:
    """Collects cuts; positions are those of the text as it was."""

    def __init__(self, text: str, renamed: Mapping[str, str], note: str) -> None:
        self.text, self.renamed, self.note = text, renamed, note
        self.starts = [0, *(found.end() for found in document.LINE_BREAK.finditer(text))]
        self.cuts: list[Cut] = []

    def done(self) -> str:
        text = self.text
        ordered = sorted(self.cuts, key=lambda cut: cut[:2])  # what was added first comes first
        for start, end, instead in ordered[::-1]:
            text = text[:start] + instead + text[end:]
        return text

    def block(self, node: Any, now: Mapping[str, Any], wanted: Mapping[str, Any], renamed: str = "") -> None:
        """Make a mapping of a line per key say what is wanted."""
        entries = {key.value: (key, value) for key, value in node.value}
        new = next((name for name in wanted if name not in entries), "") if renamed in entries else ""
        for name, (key, value) in entries.items():
            if name in wanted:
                self.value(key, value, now[name], wanted[name], self.renamed.get(name, ""))
            elif name == renamed and new:
                self.cuts.append((self._at(key.start_mark), self._at(key.end_mark), _text(new)))
                self.value(key, value, now[name], wanted[new])
            else:
                self._comment_out(self._line(self._at(key.start_mark)), self._end(key, value))
        added = {name: value for name, value in wanted.items() if name not in entries and name != new}
        if added:
            key, value = node.value[-1]
            at, indent = self._end(key, value), " " * key.start_mark.column
            lines = "".join(f"{indent}{_text(name)}: {written(entry)}\n" for name, entry in added.items())
            self.cuts.append((at, at, lines if self.text[at - 1 : at] == "\n" else f"\n{lines}"))

    def value(self, key: Any, node: Any, now: Any, wanted: Any, renamed: str = "") -> None:
        """Make the value of a key what is wanted."""
        if now == wanted and type(now) is type(wanted):
            return
        start, end = self._extent(node)
        if not isinstance(node, yaml.CollectionNode) or node.flow_style:
            lost: list[str] = []
            text = self._inline(node, now, wanted, lost, "", renamed)
            lead = " " if self.text[start - 1] == ":" else ""
            self.cuts.append((start, end, lead + text))
            self._note(key, lost)
        elif (
            isinstance(node, yaml.MappingNode)
            and isinstance(wanted, Mapping)
            and {*wanted, renamed} & set(now)
            and wanted
        ):
            self.block(node, now, wanted, renamed)
        elif isinstance(node, yaml.SequenceNode) and isinstance(wanted, list) and len(wanted) == len(now):
            for each, old, new in zip(node.value, now, wanted, strict=True):
                if old != new:
                    self.cuts.append((*self._extent(each), written(new)))
        else:
            behind = self._at(key.end_mark) + self.text[self._at(key.end_mark) :].index(":") + 1
            self.cuts.append((behind, behind, f" {written(wanted)}"))
            self._comment_out(self._line(start), self._end(key, node))

    def _inline(self, node: Any, now: Any, wanted: Any, lost: list[str], place: str, renamed: str = "") -> str:
        """The text of a value between braces, or of one without parts, that says what is wanted; `lost` is added to."""
        start, end = self._extent(node)
        if now == wanted and type(now) is type(wanted):
            return self.text[start:end]
        if not (isinstance(node, yaml.MappingNode) and isinstance(wanted, Mapping) and node.value):
            lost += [f"{place}{self.text[start:end]}"] if isinstance(now, Mapping) and now else []
            return written(wanted)
        parts = []
        new = next((name for name in wanted if name not in now), "") if renamed in now else ""
        for key, value in node.value:
            name = new if new and key.value == renamed else key.value
            if name in wanted:
                text = self._inline(value, now[key.value], wanted[name], lost, f"{place}{name}.")
                parts.append(f"{_text(name) if name == new else self._spelt(key)}: {text}")
            else:
                lost.append(f"{place}{self._spelt(key)}: {self.text[slice(*self._extent(value))]}")
        parts += [
            f"{_text(name)}: {written(entry)}" for name, entry in wanted.items() if name not in now and name != new
        ]
        first, last = self._at(node.value[0][0].start_mark), self._extent(node.value[-1][1])[1]
        return self.text[start:first] + ", ".join(parts) + self.text[last:end]

    def _spelt(self, key: Any) -> str:
        return self.text[self._at(key.start_mark) : self._at(key.end_mark)]

    def _note(self, key: Any, lost: list[str]) -> None:
        """What a line between braces has lost, as comments above it."""
        at = self._line(self._at(key.start_mark))
        indent = " " * key.start_mark.column
        named = [f"{self._spelt(key)}{': ' if each.startswith('{') else '.'}{each}" for each in lost]
        lines = [f"{indent}# {self.note}: {' '.join(each.split())}\n" for each in named]
        self.cuts += [(at, at, "".join(lines))] if lines else []

    def _comment_out(self, start: int, end: int) -> None:
        """Turn lines into comments; the first says why."""
        lines = self.text[start:end].splitlines(keepends=True)
        for number, line in enumerate(lines):
            bare = line.lstrip(" ")
            word = f"# {self.note}: " if number == 0 else "# "
            lines[number] = (
                line if not bare.strip() or bare.startswith("#") else f"{line[: len(line) - len(bare)]}{word}{bare}"
            )
        self.cuts.append((start, end, "".join(lines)))

    def _line(self, at: int) -> int:
        """Where the line begins."""
        return self.text.rfind("\n", 0, at) + 1

    def _end(self, key: Any, value: Any) -> int:
        """Where the line after a key's value begins."""
        last = max(self._extent(value)[1] - 1, self._at(key.end_mark))
        newline = self.text.find("\n", last)
        return len(self.text) if newline < 0 else newline + 1

    def _at(self, mark: Any) -> int:
        """Where a mark is in the text: libyaml's own index counts other things."""
        place: int = self.starts[mark.line] + mark.column
        return place

    def _extent(self, node: Any) -> tuple[int, int]:
        """Where a value begins and ends; PyYAML lets a block end where the next thing begins, comments included."""
        start, end = self._at(node.start_mark), self._at(node.end_mark)
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            key, value = last if isinstance(last, tuple) else (None, last)
            end = max(self._extent(value)[1], self._at(key.end_mark) + 1 if key is not None else 0)
        return start, end
