"""A whole run over planted values: afterwards none stands in any file of the state, in the report or on screen."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import planted
import pytest
from written import contents

from ftspec.builtin.redaction import catalogue
from ftspec.builtin.redaction.entities import find

ENTITIES = ("email", "phone", "card", "iban", "us_ssn", "it_fiscal_code", "ip")
SPEC = """
version: 1
name: leaks
sources: [{{jsonl: {{path: rows.jsonl}}}}]
cleaning:
  - strip
  - length: {{max: 2000}}
  - drop_empty: {{columns: [note]}}
  - dedupe
  - redact: {{placeholders: {placeholders}}}
  - select: {{columns: [messages]}}
split: {{test: 0.2, validation: 0.1, seed: 3}}
checks: [pii, secrets]
provider: {{simulated: {{}}}}
model: simulated-base
eval:
  prompts: [{{split: test}}]
  graders: [exact]
gates: [{{accuracy: {{min: 0}}}}]
"""


def known(text: planted.Planted) -> bool:
    """Whether all of its values are found: how many are is measured elsewhere, here nothing found may stay."""
    here = find(text.text, catalogue.chosen(["pii", "secrets"]))
    return all(any(each.start <= start and end <= each.end for each in here) for start, end, _ in text.values)


def write_rows(folder: Path) -> list[str]:
    """Rows whose values stand in columns, contents, parts and tool arguments, some of which are dropped; the values."""
    rng = random.Random(5)
    values: list[str] = []

    def said(number: int) -> str:
        texts = [planted.sentence(ENTITIES[number % len(ENTITIES)], rng, "faker"), planted.password(rng)]
        texts.append(planted.secret(("openai", "github", "jwt", "aws")[number % 4], rng))
        texts = [each for each in texts if known(each)]
        for text, found in texts:
            values.extend(text[start:end] for start, end, _ in found)
        return " \n".join(text for text, _ in texts)

    lines = []
    for number in range(60):
        call = {"name": "note", "arguments": json.dumps({"text": said(number)})}
        messages = [
            {"role": "user", "content": [{"type": "text", "text": said(number)}] if number % 5 == 0 else said(number)},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": call}]},
            {"role": "tool", "tool_call_id": "c", "content": said(number)},
            {"role": "assistant", "content": f"done {number}"},
        ]
        note = "" if number % 9 == 0 else said(number) * (20 if number % 11 == 0 else 1)
        lines.append(json.dumps({"messages": messages, "note": note}))
    (folder / "rows.jsonl").write_text("\n".join([*lines, *lines[:4], ""]))
    return values


def ftspec(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ftspec", *arguments]
    return subprocess.run(command, cwd=folder, env={**os.environ}, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("placeholders", ["plain", "row"])
def test_nothing_of_what_was_redacted_is_kept(tmp_path: Path, placeholders: str) -> None:
    values = write_rows(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC.format(placeholders=placeholders))
    done = ftspec(tmp_path, "run", "spec.yaml")
    assert done.returncode == 0, done.stderr
    shown = ftspec(tmp_path, "data", "show", "spec.yaml")
    assert shown.returncode == 0, shown.stderr
    (tmp_path / "rows.jsonl").unlink()
    files = {**contents(tmp_path), "output": done.stdout + done.stderr + shown.stdout + shown.stderr}
    assert any(text.startswith("ARROW1") for text in files.values())
    assert any(name.endswith("report.html") for name in files)
    assert any("[EMAIL_1]" in text if placeholders == "row" else "[EMAIL]" in text for text in files.values())
    written = [json.dumps(value)[1:-1] for value in values]
    leaks = {
        (name, value)
        for value in {*values, *written}
        for name, text in files.items()
        if len(value) > 6 and value in text
    }
    assert leaks == set()


def test_a_check_that_fails_names_rows_and_no_values(tmp_path: Path) -> None:
    values = write_rows(tmp_path)
    spec = SPEC.format(placeholders="plain").replace("  - redact: {placeholders: plain}\n", "")
    (tmp_path / "spec.yaml").write_text(spec)
    done = ftspec(tmp_path, "run", "spec.yaml")
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "rows.jsonl:2: personal data is left:" in said and "a secret is left:" in said
    assert [value for value in values if len(value) > 6 and value in said] == []


def test_the_key_of_numbers_may_be_a_secret_and_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "a-key-of-ours-0123456789"
    monkeypatch.setenv("REDACT_KEY", key)
    text = SPEC.format(placeholders="dataset").replace(
        "placeholders: dataset", 'placeholders: dataset, key: "${secret:REDACT_KEY}"'
    )
    (tmp_path / "spec.yaml").write_text(text)
    lines = [
        json.dumps(
            {
                "note": "n",
                "messages": [
                    {"role": "user", "content": f"mail ann@example.com or b{number}@example.com"},
                    {"role": "assistant", "content": f"done {number}"},
                ],
            }
        )
        for number in range(40)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    made = subprocess.run(
        [sys.executable, "-m", "ftspec", "run", "spec.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(key.encode() in content for content in [*files, (made.stdout + made.stderr).encode()])
    assert any(b"[EMAIL_" in content for content in files)


def test_a_secret_elsewhere_in_a_step_is_still_refused(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        SPEC.format(placeholders="plain").replace("- strip", '- replace: {find: "${secret:REDACT_KEY}", to: x}')
    )
    (tmp_path / "rows.jsonl").write_text("{}")
    made = subprocess.run([sys.executable, "-m", "ftspec", "validate", str(spec)], capture_output=True, text=True)
    assert (
        made.returncode == 1 and "a secret cannot stand in the options of a cleaning step" in made.stdout + made.stderr
    )
