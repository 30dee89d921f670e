"""YAML text to plain data and the place of every key and value; what YAML allows and a spec must not have is refused.

PyYAML only tokenises and parses. Its events become data here, so that every fault is found at its place and reading
goes on after it: duplicate keys, keys that are not text, tags, alias cycles and bombs, deep nesting, NaN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import yaml

from ftspec.common.errors import Problem, SpecPath
from ftspec.common.wording import short
from ftspec.document import scalars, syntax

MAX_DEPTH = 64
MAX_VALUES = 100_000
HOPELESS_DEPTH = 1000
"""libyaml takes time that grows with the square of the depth: nothing is read beyond this one."""
Event = Any  # PyYAML's stubs leave most attributes of events out
PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Span(msgspec.Struct, frozen=True):
    """A stretch of one line: line and column count from 1, the length is in characters."""

    line: int
    column: int
    length: int


class Node(NamedTuple):
    """One value with its place. `children` maps a key or index to (the key's place, the value's node)."""

    data: Any
    span: Span
    block: bool = False
    children: dict[str | int, tuple[Span | None, Node]] = {}
    size: int = 1
    height: int = 0


def read(text: str, lines: Sequence[str], file: str) -> tuple[Node | None, list[Problem]]:
    """(the document's root, or None where there is nothing to go on with; what is wrong). Never raises.

    `lines` are the text's, `file` is what problems name."""
    builder = _Builder(file, lines)
    return builder.build(text), builder.problems


class _Abandoned(Exception):
    """The document is refused, and to read on would only cost time."""


class _Builder:
    """Data and places out of parser events. What is refused is collected and left out, and reading goes on."""

    def __init__(self, file: str, lines: Sequence[str]) -> None:
        self.file = file
        self.lines = lines
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node | None] = {}
        self.size = 0
        self.events: Iterator[Event] = iter(())

    def build(self, text: str) -> Node | None:
        """The document's root, or None when there is nothing to go on with."""
        self.events = yaml.parse(text, Loader=PARSER)
        try:
            return self._document()
        except yaml.YAMLError as error:
            self.problems.append(syntax.problem(error, self.file, self.lines))
        except _Abandoned:
            pass
        return None

    def _document(self) -> Node | None:
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            self._refuse("the spec is empty", "`ftspec init` writes a starter spec", Span(1, 1, 1), ())
            return None
        root = self._node(next(self.events), ())
        next(self.events)
        event = next(self.events)
        if isinstance(event, yaml.DocumentStartEvent):
            self._refuse("a second YAML document starts here", "one spec per file", self._span(event, event), ())
            return None
        return root

    def _node(self, event: Event, path: SpecPath) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(f"tags are not allowed: {short(tag)}", "remove it", self._span(event, event), path)
        if event.anchor:
            self.anchors[event.anchor] = None
        node = self._content(event, path)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _content(self, event: Event, path: SpecPath) -> Node:
        self._count(1, event, path)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= MAX_DEPTH:
            return self._skip(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, path)
        return self._mapping(event, path)

    def _scalar(self, event: Event, path: SpecPath) -> Node:
        span = self._span(event, event)
        if "\0" in event.value:
            self._refuse("a text cannot hold the character NUL", "remove the escape", span, path)
            return Node("", span)
        if not event.implicit[0]:
            return Node(event.value, span)
        try:
            return Node(scalars.read(event.value), span)
        except scalars.ScalarFault as fault:
            self._refuse(fault.message, fault.hint, span, path)
            return Node(None, span)  # a number, 0 say, would be judged as what the spec says

    def _sequence(self, start: Event, path: SpecPath) -> Node:
        children: dict[str | int, tuple[Span | None, Node]] = {}
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            children[len(children)] = (None, self._node(event, (*path, len(children))))
        return self._collection([node.data for _, node in children.values()], start, event, children)

    def _mapping(self, start: Event, path: SpecPath) -> Node:
        children: dict[str | int, tuple[Span | None, Node]] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            span = self._span(event, event)
            key = self._key(event, path)
            known = children.get(key)
            if known is not None and known[0] is not None:
                first = f"line {known[0].line}, column {known[0].column}"
                self._refuse(f"key '{short(key)}' is given twice", f"the first is at {first}", span, (*path, key))
            node = self._node(next(self.events), (*path, key))
            if known is None and isinstance(event, yaml.ScalarEvent):
                children[key] = (span, node)
        return self._collection({key: node.data for key, (_, node) in children.items()}, start, event, children)

    def _key(self, event: Event, path: SpecPath) -> str:
        """The key as text; a key that is not text is reported."""
        span = self._span(event, event)
        if not isinstance(event, yaml.ScalarEvent):
            template = self.lines[span.line - 1][: span.column].endswith(("{{", "{ {"))
            hint = 'quote a template: "{{ column }}"' if template else "a key is one word or a quoted text"
            self._refuse("a key must be text", hint, span, (*path, "?"))
            if not isinstance(event, yaml.AliasEvent):
                self._content(event, (*path, "?"))
            return "?"
        text: str = event.value
        if event.tag is not None:
            self._refuse("tags are not allowed on keys", "remove it", span, (*path, text))
        elif text == "<<" and event.implicit[0]:
            self._refuse("merge keys (<<) are not part of YAML 1.2", "write the keys out", span, (*path, text))
        elif event.implicit[0] and not _is_string(text):
            comma = re.search(r"[-+]?[0-9]+(?=,$)", self.lines[span.line - 1][: span.column - 1])
            hint = f"write {comma[0]}.{text}, with a point" if comma and text.isdigit() else f"quote it: '{text}'"
            self._refuse(f"a key must be text, not {text or 'empty'}", hint, span, (*path, text))
        return text

    def _alias(self, event: Event, path: SpecPath) -> Node:
        span = self._span(event, event)
        name = short(event.anchor)
        if event.anchor not in self.anchors:
            self._refuse(f"no anchor &{name} before this alias", "quote the text if it is no alias", span, path)
            return Node(None, span)
        target = self.anchors[event.anchor]
        if target is None:
            self._refuse(f"alias *{name} stands inside its own anchor", "write the values out", span, path)
            return Node(None, span)
        if len(path) + target.height > MAX_DEPTH:
            self._refuse(f"this alias nests deeper than {MAX_DEPTH} levels", "flatten it", span, path)
            return Node(None, span)
        self._count(target.size, event, path)
        return target._replace(span=span)

    def _collection(
        self, data: Any, start: Event, end: Event, children: dict[str | int, tuple[Span | None, Node]]
    ) -> Node:
        nodes = [node for _, node in children.values()]
        return Node(
            data,
            self._span(start, end),
            not start.flow_style,
            children,
            1 + sum(node.size for node in nodes),
            1 + max((node.height for node in nodes), default=0),
        )

    def _skip(self, start: Event, path: SpecPath) -> Node:
        """Read over a collection that stands too deep."""
        span = self._span(start, start)
        self._refuse(f"nested deeper than {MAX_DEPTH} levels", "flatten it", span, path)
        depth = 1
        while depth:
            event = next(self.events)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > HOPELESS_DEPTH:
                raise _Abandoned
        return Node(None, span)

    def _count(self, values: int, event: Event, path: SpecPath) -> None:
        self.size += values
        if self.size > MAX_VALUES:
            hint = "keep data in files that `sources` name, and write values out instead of aliases of aliases"
            message = f"more than {MAX_VALUES} values, aliases expanded"
            self._refuse(message, hint, self._span(event, event), path)
            raise _Abandoned

    def _span(self, start: Event, end: Event) -> Span:
        first, last = start.start_mark, end.end_mark
        line = self.lines[min(first.line, len(self.lines) - 1)]
        stop = last.column if last.line == first.line else len(line.rstrip())
        return Span(first.line + 1, first.column + 1, max(1, stop - first.column))

    def _refuse(self, message: str, hint: str, span: Span, path: SpecPath) -> None:
        self.problems.append(
            Problem(
                message=message,
                hint=hint,
                path=path,
                file=self.file,
                line=span.line,
                column=span.column,
                length=span.length,
            )
        )


def _is_string(key: str) -> bool:
    try:
        return isinstance(scalars.read(key), str)
    except scalars.ScalarFault:
        return False
