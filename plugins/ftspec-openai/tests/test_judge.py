"""A judge over real HTTP: the official SDK asks aimock; replies are kept, so that the next run asks nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from servers import contract, fixtures

from ftspec import registry, runner, validate
from ftspec.progress import Quiet
from ftspec.site import Options

SPEC = """\
version: 1
name: judged
sources: [{examples: {rows: [{thing: sky, colour: blue}]}}]
format: {chat: {user: "{{ thing }}", assistant: "{{ colour }}"}}
provider: {simulated: {accuracy: 1.0, base_accuracy: 0.0, noise: 0.0}}
model: m
eval:
  prompts: [{examples: {rows: [{thing: sea, colour: green}, {thing: fire, colour: red}]}}]
  graders:
    - llm_judge: {provider: {openai: {base_url: URL}}, model: gpt-4.1-mini-2025-04-14, rubric: The colour is right.}
"""


def test_a_judge_is_asked_over_http_and_only_once(
    aimock: Any, proxied: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", fixtures.KEY)
    aimock.answer(json.dumps({"reason": "right", "score": 5}), user="\ngreen\n</answer")
    aimock.answer(json.dumps({"reason": "wrong", "score": 1}), model="gpt-4.1-mini-2025-04-14")
    proxy = proxied(aimock.url)
    (tmp_path / "spec.yaml").write_text(SPEC.replace("URL", proxy.url))
    installed = registry.load()
    loaded = validate.load_spec(tmp_path / "spec.yaml", installed)
    evaluation = runner.run(loaded, installed, Options(), Quiet()).evaluation
    assert evaluation is not None
    assert (evaluation.base.accuracy, evaluation.tuned.accuracy) == (0, 0.5)
    (use,) = evaluation.tuned.judges
    assert (use.provider, use.questions, use.failed) == ("openai", 2, 0)
    assert use.completion_tokens > 0
    asked = proxy.count("chat")
    assert asked == 4, "two answers of two models"
    assert contract.problems(proxy.exchanges) == []
    runner.run(loaded, installed, Options(again=("report",)), Quiet())
    assert proxy.count("chat") == asked
