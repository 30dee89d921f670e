"""A server that gives back its keys in all that it says: they are in no file of the run and in nothing shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from described import Described, Refusal

KEY, GATE = "canary-Zq81LmPv0aTq93kX7dWm", "gate-canary-5h2Kd9sLq1Zx"
SAID = {
    *("message", "content", "finish_reason", "refusal", "status_details", "reason", "model", "text", "name"),
    *("arguments", "system_fingerprint", "object", "hint"),
}
"""Fields that hold words, and no name by which something is asked for."""
SPEC = """\
version: 1
name: echo
sources:
  - examples: {{rows: [{rows}]}}
format: {{prompt_completion: {{}}}}
provider: {server}
model: some-model
eval:
  prompts:
    - examples: {{rows: [{{prompt: three, completion: "3"}}]}}
  graders:
    - contains: {{any: ["3"]}}
    - llm_judge: {{provider: {server}, model: judge, rubric: good}}
gates:
  - accuracy: {{min: 0.5, evidence: estimate}}
"""
COMMANDS = ("run spec.yaml", "status spec.yaml", "logs spec.yaml")


def echoing(said: Any, field: str = "") -> Any:
    """What a server says, with its keys behind every word, whole and in part."""
    if isinstance(said, dict):
        return {name: echoing(value, name) for name, value in said.items()}
    if isinstance(said, list):
        return [echoing(value, field) for value in said]
    return f"{said} {KEY} {KEY[3:20]} {GATE}" if field in SAID and isinstance(said, str) else said


@pytest.fixture
def echo(server: Described, monkeypatch: pytest.MonkeyPatch) -> Described:
    answer = server.answer

    def echoed(method: str, path: str, headers: Any, body: bytes) -> Any:
        try:
            return echoing(answer(method, path, headers, body))
        except Refusal as refusal:
            refusal.body = echoing(refusal.body)
            raise

    monkeypatch.setattr(server, "answer", echoed)
    return server


@pytest.mark.parametrize("way", ["answers", "calls of tools", "a refusal", "a job that failed"])
def test_keys_that_come_back_are_kept_and_shown_nowhere(echo: Described, tmp_path: Path, way: str) -> None:
    if way == "calls of tools":
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a": "b"}'}}
        echo.says = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
    elif way == "a refusal":
        echo.says = (400, "bad", "no")
    elif way == "a job that failed":
        echo.ending, echo.error = "failed", (KEY, "no")
    secrets = 'api_key: "${secret:MAIN}", headers: {X-Gate: "${secret:GATE}"}'
    server = f'{{openai-compatible: {{base_url: "{echo.url}", {secrets}}}}}'
    rows = ", ".join(f'{{prompt: p{number}, completion: "{number}"}}' for number in range(12))
    (tmp_path / "spec.yaml").write_text(SPEC.format(rows=rows, server=server))
    own = {"MAIN": KEY, "GATE": GATE, "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    said = ""
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "ftspec", *command.split()],
            cwd=tmp_path,
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=120,
        )
        said += done.stdout + done.stderr
    assert "***" in said
    assert ("writing the report" in said) == (way != "a job that failed")
    for part in (KEY, KEY[3:20], GATE):
        assert part not in said
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert [str(file) for file in files if part.encode() in file.read_bytes()] == []
