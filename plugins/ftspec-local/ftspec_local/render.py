"""From messages to token ids: the one place that decides what a model is trained on, asked, and counted by.

Training, evaluation, token counting and `ftspec data preview` all use this module, so that they cannot disagree. It
needs `tokenizers` and jinja2 only: no torch, no transformers.

Decisions that users meet:

* Special tokens (`<|im_end|>`, ...) inside data are an error that names the row. Encoded as control tokens they would
  end a turn in the middle of a sentence; encoded as plain text they would be trained as something that no other program
  reproduces.
* A template that adds a system prompt of its own when a row has none (SmolLM2's does) is left as it is: the same
  template travels with the model, so training, evaluation and serving agree. A preview shows it.
* A row that is too long is an error, unless truncation was asked for: the end of a row is what is trained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ftspec_local.template import ChatTemplate, TemplateFault, Text

TrainOn = Literal["assistant", "all", "last"]
Span = tuple[int, int]
ROLES = ("system", "developer", "user", "assistant", "tool")
SPECIAL_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class RenderError(ValueError):
    """A row cannot be rendered; the message is for the user, `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Rendered(NamedTuple):
    """One row as the model sees it: token ids, whether each is trained on, and each token's characters."""

    ids: list[int]
    trained: list[bool]
    texts: list[str]


class Renderer:
    """Renders with the tokenizer and the chat template of one model folder."""

    def __init__(self, tokenizer: Any, template: ChatTemplate, tool_template: ChatTemplate | None = None) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.tool_template = tool_template or template

    @classmethod
    def from_folder(cls, folder: Path) -> Renderer:
        """Read tokenizer.json, tokenizer_config.json and the chat template. Raises RenderError."""
        from tokenizers import Tokenizer

        if not (folder / "tokenizer.json").is_file():
            raise RenderError(
                f"{folder} has no tokenizer.json",
                "save the model's fast tokenizer there: AutoTokenizer.from_pretrained(...).save_pretrained(folder)",
            )
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        config = _read_json(folder / "tokenizer_config.json")
        special = {**_special_tokens(_read_json(folder / "special_tokens_map.json")), **_special_tokens(config)}
        sources = _template_sources(folder, config)
        if "default" not in sources:
            raise RenderError(f"the model in {folder} has no chat template", "use an instruction-tuned model")
        templates = {name: ChatTemplate(source, special) for name, source in sources.items()}
        return cls(tokenizer, templates["default"], templates.get("tool_use"))

    @cached_property
    def special_tokens(self) -> tuple[str, ...]:
        """Texts that the tokenizer turns into control tokens."""
        added = self.tokenizer.get_added_tokens_decoder().values()
        return tuple(token.content for token in added if token.special)

    def prompt(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None) -> list[int]:
        """Token ids of a conversation whose next turn is the assistant's. Raises RenderError."""
        text = self._render(self._clean(messages, tools), tools, for_answer=True)
        return list(self._encode(text.text).ids)

    def example(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None, train_on: TrainOn = "assistant"
    ) -> Rendered:
        """Token ids of a whole conversation, and which of them are trained on. Raises RenderError."""
        clean = self._clean(messages, tools)
        whole = self._render(clean, tools)
        _check_tools_shown(whole.text, clean, tools)
        spans = self._trained_spans(whole, clean, tools, train_on, [message.get("weight") for message in messages])
        encoding = self._encode(whole.text)
        trained = _inside(encoding.offsets, spans)
        if not any(trained):
            raise RenderError("nothing in this row is trained on", "give it an assistant message whose weight is not 0")
        return Rendered(list(encoding.ids), trained, [whole.text[a:b] for a, b in encoding.offsets])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer, without control tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _encode(self, text: str) -> Any:
        # The template writes the special tokens that the model wants, so the tokenizer must not add its own.
        return self.tokenizer.encode(text, add_special_tokens=False)

    def _render(self, messages: Sequence[Mapping[str, Any]], tools: Any, *, for_answer: bool = False) -> Text:
        template = self.tool_template if tools else self.template
        try:
            return template.render(messages, tools, for_answer=for_answer)
        except TemplateFault as fault:
            raise RenderError(str(fault), "see the model's card for the roles and fields that it takes") from fault

    # --- what the data may hold ---------------------------------------------------------------------------------------

    def _clean(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None) -> list[dict[str, Any]]:
        if not messages:
            raise RenderError("the row has no messages")
        knows_developer = "developer" in self.template.source
        clean = [_clean_message(message, knows_developer) for message in messages]
        for text in _texts([clean, list(tools or ())]):
            self._refuse_special_tokens(text)
        return clean

    def _refuse_special_tokens(self, text: str) -> None:
        found = self._special_pattern.search(text) if self.special_tokens else None
        if found:
            raise RenderError(
                f"the text contains the model's control token {found[0]!r}",
                "remove or rewrite it in a cleaning step: left in, it would end or open a turn",
            )

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(re.escape(token) for token in sorted(self.special_tokens, key=len, reverse=True)))

    # --- what is trained on -------------------------------------------------------------------------------------------

    def _trained_spans(
        self, whole: Text, messages: list[dict[str, Any]], tools: Any, train_on: TrainOn, weights: list[Any]
    ) -> list[Span]:
        for weight in weights:
            if weight not in (None, 0, 1):
                raise RenderError(f"a message has the weight {weight!r}", "a weight is 0 (do not train on it) or 1")
        turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        muted = [i for i in turns if weights[i] == 0]
        if train_on == "all":
            gaps = self._spans_of(whole, messages, tools, turns, muted)
            return _outside(len(whole.text), gaps)
        wanted = [i for i in turns if i not in muted]
        return self._spans_of(whole, messages, tools, turns, wanted if train_on == "assistant" else wanted[-1:])

    def _spans_of(
        self, whole: Text, messages: list[dict[str, Any]], tools: Any, turns: list[int], wanted: list[int]
    ) -> list[Span]:
        """The characters that the wanted assistant messages take in the whole text."""
        if (self.tool_template if tools else self.template).marks_generations:
            if len(whole.spans) != len(turns):
                raise RenderError("the chat template marks other turns than the row's assistant messages")
            return [whole.spans[turns.index(i)] for i in wanted]
        return [self._span_by_prefix(whole.text, messages, tools, i) for i in wanted]

    def _span_by_prefix(self, whole: str, messages: list[dict[str, Any]], tools: Any, index: int) -> Span:
        """Where message `index` is: between the text that asks for it and the text that ends with it."""
        before = self._render(messages[:index], tools, for_answer=True).text
        upto = whole if index == len(messages) - 1 else self._render(messages[: index + 1], tools).text
        if not (upto.startswith(before) and whole.startswith(upto)):
            raise RenderError(
                "the model's chat template renders an assistant turn differently depending on what follows it, so the "
                "tokens to train on cannot be told apart",
                "use `train_on: last`, `train_on: all`, or a chat template with {% generation %} marks",
            )
        return len(before), _without_tail(upto, len(before), self.template.special_tokens.get("eos_token"))


def _without_tail(text: str, start: int, eos: str | None) -> int:
    """The end of a turn: right after its end token, since what the template puts behind it is never generated."""
    at = text.rfind(eos, start) if eos else -1
    return len(text) if at < 0 or text[at + len(eos or "") :].strip() else at + len(eos or "")


def _inside(offsets: Sequence[Span], spans: Sequence[Span]) -> list[bool]:
    """Whether each token has a character in one of the spans. A token that begins before a span and ends in it counts:
    it cannot be produced without its end."""
    return [any(a < end and b > start for start, end in spans) for a, b in offsets]


def _outside(length: int, spans: Sequence[Span]) -> list[Span]:
    """What is left of a text of this length without the spans."""
    borders = [0, *(place for span in sorted(spans) for place in span), length]
    return [(a, b) for a, b in zip(borders[::2], borders[1::2], strict=True) if a < b]


def _clean_message(message: Mapping[str, Any], knows_developer: bool) -> dict[str, Any]:
    """The message as templates expect it: text content, parsed tool arguments, a role the template knows."""
    role = message.get("role")
    if role not in ROLES:
        raise RenderError(f"unknown role {role!r}", f"roles are {', '.join(ROLES)}")
    clean = {key: value for key, value in message.items() if value is not None and key != "weight"}
    clean["content"] = _flat(message.get("content"))
    if role == "developer" and not knows_developer:
        clean["role"] = "system"
    if message.get("tool_calls"):
        clean["tool_calls"] = [_clean_call(call) for call in message["tool_calls"]]
    return clean


def _flat(content: Any) -> str:
    """Content as text. Templates concatenate it, so a message with tool calls only has an empty one."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
    if not all(isinstance(part, str) for part in parts):
        raise RenderError("a content part is not text", "the local provider trains text models only")
    return "".join(str(part) for part in parts)


def _clean_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call with its arguments as an object: hosted tuners take JSON text there, chat templates do not."""
    function = dict(call.get("function") or {})
    if isinstance(function.get("arguments"), str):
        try:
            function["arguments"] = json.loads(function["arguments"] or "{}")
        except ValueError as error:
            raise RenderError(f"the arguments of tool call {function.get('name')!r} are not JSON: {error}") from error
    return {**{key: value for key, value in call.items() if value is not None}, "function": function}


def _check_tools_shown(text: str, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None) -> None:
    """Many templates drop what they do not know in silence; a model cannot learn a tool call that it never sees."""
    calls = (call["function"].get("name") for message in messages for call in message.get("tool_calls", ()))
    offered = ((tool.get("function") or tool).get("name") for tool in tools or () if isinstance(tool, Mapping))
    for name in (*calls, *offered):
        if name and name not in text:
            raise RenderError(
                f"the model's chat template does not show the tool {name!r}", "use a model that was made for tool calls"
            )


def _texts(value: Any) -> Iterator[str]:
    """Every text in nested data, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value))
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """bos_token and so on, which are texts or objects with a `content`."""
    found = {name: config[name] for name in SPECIAL_TOKEN_NAMES if config.get(name)}
    return {name: token["content"] if isinstance(token, Mapping) else token for name, token in found.items()}


def _template_sources(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Templates by name: from files of their own, or from the tokenizer's configuration (one, or a list with names)."""
    inline = config.get("chat_template")
    sources = {entry["name"]: entry["template"] for entry in inline} if isinstance(inline, list) else {}
    if isinstance(inline, str):
        sources["default"] = inline
    for file in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        sources[file.stem] = file.read_text(encoding="utf-8")
    if (folder / "chat_template.jinja").is_file():
        sources["default"] = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    return sources
