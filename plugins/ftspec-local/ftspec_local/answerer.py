"""The answering process: one model in memory, questions in on stdin, answers out on stdout.

One JSON line in is one call: {"questions": [...], "generation": {...}}. JSON lines out are lists of answers as batches
finish; an empty list ends the call. When stdin closes, its parent is gone or done, and it ends at once.
"""

from __future__ import annotations

import json
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ftspec_local import device
from ftspec_local.decoding import Ask, Decoder, Reply, Sampling
from ftspec_local.loading import Where, load, stop_tokens
from ftspec_local.render import Renderer, RenderError

TOOL_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


class Answerer:
    """Answers questions with one model."""

    def __init__(self, where: Where, machine: device.Resolved) -> None:
        self.renderer = Renderer.from_folder(where.tokenizer)
        self.model = load(where, machine)
        self.stop_tokens = stop_tokens(
            self.model, self.renderer.tokenizer, self.renderer.template.special_tokens.get("eos_token", "")
        )

    def answers(
        self, questions: Sequence[dict[str, Any]], generation: dict[str, Any]
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield answers, a batch at a time."""
        asks, faults = self._asks(questions)
        if faults:
            yield faults
        stops = tuple(generation.get("stop") or ())
        decoder = Decoder(self.model, self.stop_tokens, self._is_over(stops) if stops else None)
        sampling = Sampling(generation["temperature"], generation["top_p"], generation["max_tokens"])
        since = time.monotonic()
        for replies in decoder.replies([ask for ask, _ in asks.values()], sampling):
            seconds = (time.monotonic() - since) / max(1, len(replies))
            members = {ask.number: group for ask, group in asks.values()}
            yield [self._answer(reply, members[reply.ask.number], stops, seconds) for reply in replies]
            since = time.monotonic()

    def _asks(self, questions: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Questions grouped by prompt, which is rendered once; and answers that say why a prompt cannot be rendered."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for question in questions:
            groups.setdefault(question["prompt"], []).append(question)
        asks: dict[str, Any] = {}
        faults: list[dict[str, Any]] = []
        for index, (prompt, group) in enumerate(groups.items()):
            try:
                tokens = self.renderer.prompt(group[0]["messages"], group[0]["tools"])
            except RenderError as fault:
                faults += [{"prompt": prompt, "repeat": question["repeat"], "error": str(fault)} for question in group]
            else:
                asks[prompt] = (Ask(index, tuple(tokens), tuple(question["seed"] for question in group)), group)
        return asks, faults

    def _is_over(self, stops: tuple[str, ...]) -> Any:
        return lambda tokens: any(stop in self.renderer.decode(tokens) for stop in stops)

    def _answer(
        self, reply: Reply, group: list[dict[str, Any]], stops: tuple[str, ...], seconds: float
    ) -> dict[str, Any]:
        question = group[reply.repeat]
        text, calls = split_tool_calls(_before(self.renderer.decode(reply.tokens), stops))
        return {
            "prompt": question["prompt"],
            "repeat": question["repeat"],
            "text": text,
            "tool_calls": calls,
            "finish_reason": "tool_calls" if calls else "stop" if reply.ended else "length",
            "prompt_tokens": len(reply.ask.tokens),
            "completion_tokens": len(reply.tokens),
            "seconds": round(seconds, 4),
        }


def split_tool_calls(text: str) -> tuple[str, list[dict[str, Any]] | None]:
    """An answer's text and its tool calls, in the way most open models write them: JSON inside <tool_call> marks."""
    calls: list[dict[str, Any]] = []
    for found in TOOL_CALL.findall(text):
        try:
            call = json.loads(found)
            function = {"name": call["name"], "arguments": json.dumps(call.get("arguments", {}))}
        except (ValueError, KeyError, TypeError):
            return text, None  # not a call that anybody could make: graders see the text as it is
        calls.append({"id": f"call_{len(calls)}", "type": "function", "function": function})
    return (TOOL_CALL.sub("", text).strip(), calls) if calls else (text, None)


def _before(text: str, stops: tuple[str, ...]) -> str:
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return text[: min(places)] if places else text


def main() -> None:
    """Load the model that argv names and answer until stdin closes."""
    job = json.loads(sys.argv[1])
    calls = _calls_from_stdin()
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not come between the answers
    answerer = Answerer(Where(**job["where"]), device.resolve_dict(job["settings"]))
    print(json.dumps({"ready": True}), file=out, flush=True)
    while True:
        call = calls.get()
        for answers in answerer.answers(call["questions"], call["generation"]):
            print(json.dumps(answers), file=out, flush=True)
        print("[]", file=out, flush=True)


def _calls_from_stdin() -> queue.Queue[dict[str, Any]]:
    """Read stdin in a thread, so that its end is noticed in the middle of a batch."""
    calls: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            calls.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return calls


if __name__ == "__main__":
    main()
