"""A model's chat template: messages in, text out, with the places that the assistant wrote.

The environment is sandboxed and behaves as transformers' own (tested against `apply_chat_template`), without importing
transformers: a plan counts tokens and a preview renders rows in a fraction of a second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

# Around what `{% generation %}` encloses. A text that already holds one of these is refused (see `render`).
START, END = "\ue0f0\ue0f2\ue0f1", "\ue0f1\ue0f2\ue0f0"


class TemplateFault(ValueError):
    """The template cannot render these messages; the message says why, in the template's own words where it has any."""


class Text(NamedTuple):
    """A rendered conversation; `spans` are the (start, end) characters inside `{% generation %}` blocks."""

    text: str
    spans: tuple[tuple[int, int], ...] = ()


class ChatTemplate:
    """One compiled template with the tokenizer's special tokens (bos_token, eos_token, ...) as its variables."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self.source = source
        self.special_tokens = dict(special_tokens)

    @cached_property
    def _compiled(self) -> jinja2.Template:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            return environment.from_string(self.source)
        except jinja2.TemplateError as error:
            raise TemplateFault(f"the model's chat template cannot be compiled: {error}") from error

    @cached_property
    def marks_generations(self) -> bool:
        """Whether the template says itself what the assistant wrote."""
        return re.search(r"\{%-?\s*generation\s*-?%\}", self.source) is not None

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None, *, for_answer: bool = False
    ) -> Text:
        """Render a conversation; `for_answer` opens the assistant's next turn. Raises TemplateFault."""
        try:
            marked = self._compiled.render(
                messages=messages,
                tools=tools or None,
                documents=None,
                add_generation_prompt=for_answer,
                **self.special_tokens,
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise TemplateFault(f"the model's chat template refuses this row: {error}") from error
        return _unmark(marked)


class _Generation(Extension):
    """`{% generation %}...{% endgeneration %}`: marks what is inside."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Any) -> str:
        return f"{START}{caller()}{END}"


def _unmark(marked: str) -> Text:
    """Take the marks out and remember where they were."""
    pieces = re.split(f"({START}|{END})", marked)
    text, spans, start = "", [], None
    for piece in pieces:
        if piece == START:
            start = len(text)
        elif piece == END:
            if start is None:
                raise TemplateFault("the row holds characters that ftspec uses to mark the assistant's turns")
            spans.append((start, len(text)))
            start = None
        else:
            text += piece
    return Text(text, tuple(spans))


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as text for a model, so without jinja's escaping for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
