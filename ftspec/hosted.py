"""What plugins of hosted tuners need alike: `from ftspec import hosted`. Like any plugin it stands on `api` and `rows`.

What a failed call means, an SDK's clients, JSON lines with findings, names made of a job's key, and chat in the shape
that OpenAI's `/chat/completions` made common. Images in messages are in `hostedimages`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX = "ftspec-"
"""What the name of everything begins with that ftspec makes at a provider."""
MOST_FINDINGS = 100
EXHAUSTED = ("daily", "per day", "insufficient_quota", "current quota", "credit", "billing", "payment", "spend limit")
"""Words of a refusal that waiting does not mend."""
UNSENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ConnectionRefusedError", "UnsupportedProtocol", "gaierror"}
"""Exceptions with which a call ends before a byte of it was sent,"""
CONNECTED = {"ConnectionResetError", "BrokenPipeError", "ClientOSError", "ServerDisconnectedError"}
"""unless one of these is behind them: httpx over aiohttp calls a connection that breaks a ConnectTimeout."""


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """What a user can do about a refusal, in one provider's words: a wrong key, no access, no money or quota left,
    a request or data that it does not take."""

    key: str
    access: str
    quota: str
    request: str = "the provider's own words are above; change the spec or the data"


def key(text: str) -> str:
    """An API key with its secrets filled in, for a header; keep it nowhere.

    A line break or blanks that a file or a secret store has left around it are taken away. Raises Rejected for a key
    that no header can carry."""
    found: str = api.resolve(text).strip()
    if not (found.isascii() and found.isprintable()):
        message = "the API key is none: it holds a line break, or characters that are not ASCII"
        raise api.Rejected(message, "look at the secret: something else was pasted, or more than the key")
    return found


def error(
    status: int, message: str, hints: Hints, *, code: str = "", retry_after: float | None = None
) -> api.ProviderError:
    """The error that an HTTP status stands for.

    Only 429 says for certain that the same call may succeed later; of 408, 409 and 5xx nobody knows what was done.
    """
    said = f"{code} {message}".lower()
    text = f"{message[:500]} ({status}{', ' + code if code else ''})"
    if status == 401:
        return api.Rejected(text, hints.key)
    if status == 402 or (status in {400, 403, 412, 429} and any(word in said for word in EXHAUSTED)):
        return api.Rejected(text, hints.quota)
    if status == 403:
        return api.Rejected(text, hints.access)
    if status == 429:
        return api.Transient(text, retry_after=retry_after)
    if status in {408, 409} or status >= 500:
        return api.Ambiguous(text)
    return api.Rejected(text, hints.request)


def unanswered(error: BaseException) -> api.ProviderError:
    """The error of a call without an answer: Transient where it was never sent."""
    seen: BaseException | None = error
    names: list[str] = []
    while seen is not None and len(names) < 10:
        names.append(type(seen).__name__)
        seen = seen.__cause__ or seen.__context__
    message = f"no answer: {names[-1]}: {error}"
    unsent = UNSENT & set(names) and not CONNECTED & set(names)
    return api.Transient(message) if unsent else api.Ambiguous(message)


def unreadable(said: Any) -> api.Ambiguous:
    """An answer that is not what was asked for: something may have been done all the same."""
    return api.Ambiguous(f"an answer that cannot be read: {str(said)[:200]!r}")


@contextmanager
def calling(sdk: Any, hints: Hints, transport: tuple[type[Exception], ...] = (OSError,)) -> Iterator[None]:
    """Translate what the calls inside raise. `sdk` is an SDK's module that Stainless generated, such as openai's.

    `transport`: errors of its HTTP library that some of its helpers let through."""
    try:
        yield
    except sdk.APIStatusError as fault:
        code, message = _said(fault)
        raise error(fault.status_code, message, hints, code=code, retry_after=retry_after(fault.response)) from fault
    except (sdk.APIConnectionError, *transport) as fault:
        raise unanswered(fault) from fault
    except (sdk.APIError, json.JSONDecodeError, UnicodeDecodeError) as fault:
        raise unreadable(fault) from fault


def retry_after(response: Any) -> float | None:
    """Seconds that a response with HTTP headers asks to wait."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return float(response.headers.get(name, "")) * unit
        except ValueError:
            continue
    return None


def _said(fault: Any) -> tuple[str, str]:
    """(code, message) of a refusal, wherever its body keeps them."""
    body = fault.body if isinstance(fault.body, Mapping) else {}
    nested = body.get("error")
    inner = nested if isinstance(nested, Mapping) else body
    message = inner.get("message") or nested or body.get("detail") or fault.message
    return str(inner.get("code") or inner.get("type") or ""), str(message)


def gone(error: api.ProviderError) -> bool:
    """Whether an error says that what the call was about does not exist."""
    return isinstance(error, api.Rejected) and "(404" in error.message


@contextmanager
def forgiving() -> Iterator[None]:
    """Around a call that deletes, and what translates its errors: what is gone already is left alone."""
    try:
        yield
    except api.Rejected as error:
        if not gone(error):
            raise


class Clients:
    """The clients of an SDK that Stainless generated. The key is resolved when one is made, and kept nowhere else.

    Args:
        classes: imports the SDK, and gives its blocking and its asynchronous client.
        more: what both are made with, by the SDK's own names.
    """

    def __init__(self, classes: Callable[[], tuple[Any, Any]], api_key: str, timeout: float, **more: Any) -> None:
        self.classes, self.api_key, self.timeout, self.more = classes, api_key, timeout, more
        self._sync: Any = None

    def sync(self) -> Any:
        """The blocking client, the same each time."""
        if self._sync is None:
            self._sync = self._made(self.classes()[0])
        return self._sync

    def asynchronous(self) -> Any:
        """A client for the running loop."""
        return self._made(self.classes()[1])

    def _made(self, client: Any) -> Any:
        # Without retries: an SDK repeats even a call whose outcome nobody knows, and ftspec what may be repeated.
        return client(api_key=key(self.api_key), timeout=self.timeout, max_retries=0, **self.more)


# ---- files

DROP = "drop the row in `cleaning`"
"""The hint where nothing else helps."""


class Unfit(Exception):
    """A row that the provider would refuse: what is wrong, and what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def write_lines(
    batches: Iterable[pa.RecordBatch],
    out: BinaryIO,
    line: Callable[[api.Example], Mapping[str, Any]],
    plain: frozenset[str] = frozenset(),
) -> api.Written:
    """Write one JSON object a line. Raises DataError that names every row for which `line` raises Unfit.

    A conversation of nothing but texts whose roles are all among `plain`, and which ends with the assistant's message,
    is written as {"messages": [...]}, without asking `line`, which would make the same of it: many times as fast.
    """
    findings: list[api.Finding] = []
    faulty = count = 0
    for batch in batches:
        for part in rows.parts(batch, lambda said: _ends_with_answer(said, plain)):
            lines = []
            for example in rows.examples(part.others):
                try:
                    lines.append(msgspec.json.encode(line(example)) + b"\n")
                except Unfit as fault:
                    faulty += 1
                    lines.append(b"")
                    if faulty <= MOST_FINDINGS:
                        findings.append(api.Finding(message=str(fault), hint=fault.hint, row=example.row))
            out.write(part.lines(lines))
            count += len(part.places) + len(lines)
    if faulty:
        raise api.DataError(findings, faulty)
    return api.Written(rows=count)


def _ends_with_answer(said: rows.Conversations, known: frozenset[str]) -> Any:
    """Of each row, whether its messages are all of known roles, and the last is the assistant's."""
    strange = said.per_row(~said.is_role(*known))
    return (strange == 0) & said.is_role("assistant")[said.last]


def chat_message(message: api.Message, *, weights: bool = False) -> dict[str, Any]:
    """A message as OpenAI's shape has it, with its loss weight where that is wanted."""
    said: dict[str, Any] = msgspec.to_builtins(message)
    if not weights:
        said.pop("weight", None)
    if said.get("tool_calls"):
        said.setdefault("content", None)
        said["tool_calls"] = [_chat_call(call) for call in said["tool_calls"]]
    return said


def _chat_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call whose arguments are a text of JSON: rows may hold the object itself, and the services take none."""
    function = dict(call["function"])
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = rows.to_json(function.get("arguments") or {})
    return {**call, "type": call.get("type", "function"), "function": function}


def text_of(message: api.Message) -> str:
    """A message's text. Raises Unfit where it has other parts."""
    parts = [message.content] if isinstance(message.content, str) else message.content or []
    for part in parts:
        if not isinstance(part, str) and part.get("type") not in {None, "text"}:
            raise Unfit(f"a message holds {part['type']}, and only text can be sent", DROP)
    return "".join(part if isinstance(part, str) else str(part.get("text", "")) for part in parts)


def only_answer(side: Sequence[api.Message] | None) -> api.Message:
    """The message that one side of a preference pair consists of. Raises Unfit for any other side."""
    if not side or len(side) != 1 or side[0].role != "assistant":
        raise Unfit("each side of a pair must be one message of the assistant", DROP)
    return side[0]


def pair(asked: Mapping[str, Any], example: api.Example) -> dict[str, Any]:
    """A preference pair in OpenAI's shape: what was asked, and two answers of text alone. Raises Unfit."""
    said: dict[str, Any] = {"input": asked}
    for name, side in (("preferred_output", example.chosen), ("non_preferred_output", example.rejected)):
        said[name] = [{"role": "assistant", "content": text_of(only_answer(side))}]
    return said


# ---- names and moments


def name_of(key: str, most: int = 40) -> str:
    """A name for what is made for a job's key, the same each time: letters, digits and one hyphen."""
    return PREFIX + key[: most - len(PREFIX)]


def timestamp(at: Any) -> float:
    """Seconds since the epoch of a moment that an SDK gives as datetime or as text; now where it is neither."""
    if isinstance(at, datetime):
        return at.timestamp()
    try:
        return datetime.fromisoformat(str(at).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return time.time()


# ---- chat


def chat_body(model: str, question: api.Question, generation: api.Generation) -> dict[str, Any]:
    """The body of one call to `/chat/completions`."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [chat_message(message) for message in question.prompt.messages],
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "max_tokens": generation.max_tokens,
        "seed": question.seed,
    }
    if generation.stop:
        body["stop"] = list(generation.stop)
    if question.prompt.tools:
        body["tools"] = question.prompt.tools
    return body


def chat_answer(question: api.Question, said: Any, seconds: float) -> api.Answer:
    """The answer in what `/chat/completions` said. Raises Ambiguous where there is none."""
    try:
        choice = said["choices"][0]
        message, usage = choice["message"], said.get("usage") or {}
        return api.Answer(
            prompt=question.prompt.id,
            repeat=question.repeat,
            text=message.get("content") or "",
            tool_calls=message.get("tool_calls") or None,
            finish_reason=choice.get("finish_reason") or "",
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            seconds=seconds,
        )
    except (KeyError, IndexError, TypeError, AttributeError) as fault:
        raise unreadable(said) from fault


class ChatModel:
    """A RemoteModel behind the asynchronous client of an SDK that Stainless generated.

    Args:
        connect: makes the client, without retries; called in the loop that asks.
        path: of chat completions, below the client's base URL.
    """

    def __init__(
        self, sdk: Any, connect: Callable[[], Any], path: str, model: str, hints: Hints, limits: api.RateLimits
    ) -> None:
        self.sdk, self.connect, self.path = sdk, connect, path
        self.model, self.hints, self.limits = model, hints, limits
        self._client: Any = None

    async def ask(self, question: api.Question, generation: api.Generation) -> api.Answer:
        """One call. The plain `post` of the SDK: its typed call costs three times the CPU."""
        if self._client is None:
            self._client = self.connect()
        started = time.monotonic()
        with calling(self.sdk, self.hints):
            body = chat_body(self.model, question, generation)
            said = await self._client.post(self.path, body=body, cast_to=object)
        return chat_answer(question, said, time.monotonic() - started)

    async def close(self) -> None:
        """Let go of the client's connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None
