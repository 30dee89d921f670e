"""The parent's side of the answering process (see ftspec_local.answerer): start it, ask it, take it down."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftspec import api
from ftspec_local import children


class AnsweringModel:
    """A model in a process of its own, so that the runner imports no torch and a crash cannot take it along."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log

    def answer(self, questions: Sequence[api.Question], generation: api.Generation) -> Iterator[api.Answer]:
        """Answer every question, as batches finish. Raises ProviderError when the process has died."""
        if not questions:
            return
        self._send({"questions": [_question(question) for question in questions], "generation": _plain(generation)})
        while answers := self._receive():
            for answer in answers:
                yield api.Answer(**answer)

    def wait_until_ready(self) -> None:
        """Return once the model is in memory."""
        self._receive()

    def _send(self, call: dict[str, Any]) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(call) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def _receive(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise self._death()
        return json.loads(line)

    def _death(self) -> api.ProviderError:
        self.process.wait()
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = lines[-1] if lines else ""
        if self.process.returncode == -9:
            reason = "it was killed, perhaps because the machine ran out of memory"
        return api.ProviderError(f"the process that answers has ended: {reason}", f"its log is {self.log}")


@contextmanager
def serving(where: dict[str, str], settings: dict[str, Any], log: Path) -> Iterator[AnsweringModel]:
    """A model that is up; leaving the context ends its process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            children.command("answerer", json.dumps({"where": where, "settings": settings})),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            env=children.environment(),
            start_new_session=True,  # ^C goes to the runner, whose end closes our stdin
        )
    try:
        model = AnsweringModel(process, log)
        model.wait_until_ready()
        yield model
    finally:
        process.kill()
        process.communicate()


def _question(question: api.Question) -> dict[str, Any]:
    return {
        "prompt": question.prompt.id,
        "messages": [_plain(message) for message in question.prompt.messages],
        "tools": question.prompt.tools,
        "repeat": question.repeat,
        "seed": question.seed,
    }


def _plain(record: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(record)
