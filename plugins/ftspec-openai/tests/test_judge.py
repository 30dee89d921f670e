"""A judge over real HTTP: the official SDK asks aimock; replies are kept, so that the next run asks nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from servers import contract, fixtures

from ftspec import registry
from ftspec.cli import guard
from ftspec.common.progress import Quiet
from ftspec.run import runner
from ftspec.run.site import Options
from ftspec.validation import validate

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


# ---- promptfoo's llm-rubric, from the plan to the report

CONFIG = """\
prompts: ["What is the colour of {{thing}}?"]
tests:
  - vars: {thing: sea}
    assert:
      - {type: llm-rubric, value: "names the colour of {{thing}}"}
      - {type: llm-rubric, value: is polite, weight: 0, metric: polite}
  - vars: {thing: fire}
    assert: [{type: not-llm-rubric, value: names the colour of water, threshold: 0.5}]
"""
RUBRICS = """\
version: 1
name: rubrics
sources: [{examples: {rows: [{thing: sky, colour: blue}]}}]
format: {chat: {user: "{{ thing }}", assistant: "{{ colour }}"}}
provider: {simulated: {accuracy: 1.0, base_accuracy: 0.0, noise: 0.0}}
model: m
eval:
  prompts:
    - promptfoo:
        path: promptfooconfig.yaml
        judge_provider: {openai-compatible: {base_url: "URL", api_key: "${secret:JUDGE_KEY}", concurrency: 1}}
        judge_model: a-judge
      as_is: true
  asserts: asserts
costs: {prices: [house.yaml]}
budget: {max: 30, when_unknown: allow}
"""
PRICES = """\
endpoints: ["http://127.0.0.1*"]
currency: USD
source: the house's contract
as_of: 2026-11-01
prices:
  - {models: [a-judge], base: {prompt: 1000, completion: 2000}}
"""


@pytest.fixture
def rubrics(aimock: Any, proxied: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Any]:
    """A spec with promptfoo's tests, and the proxy before the judge's server."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("JUDGE_KEY", fixtures.KEY)
    aimock.answer(json.dumps({"reason": "as wanted", "score": 1}), model="a-judge")
    proxy = proxied(aimock.url)
    (tmp_path / "promptfooconfig.yaml").write_text(CONFIG)
    (tmp_path / "house.yaml").write_text(PRICES)
    (tmp_path / "spec.yaml").write_text(RUBRICS.replace("URL", proxy.url))
    return tmp_path / "spec.yaml", proxy


def ftspec(spec: Path, command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """(exit code, what was said) of a command on the spec."""
    code = guard.run([command, str(spec)])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_rubrics_judge_stands_in_the_plan(
    rubrics: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan asks nobody, needs no key, and holds the budget against what the judge may cost."""
    spec, proxy = rubrics
    with monkeypatch.context() as unset:
        unset.delenv("JUDGE_KEY")
        code, said = ftspec(spec, "plan", capsys)
    assert code == 0
    (line,) = [line for line in said.splitlines() if "judge a-judge" in line]
    assert "6 answers of 512 tokens, 1000 and 2000 a million" in line, "three rubrics, answers of two models"
    spec.write_text(spec.read_text().replace("max: 30,", "max: 3,"))
    for command in ("plan", "run"):
        code, said = ftspec(spec, command, capsys)
        assert code == 1
        assert "spec.yaml:16:15: this costs at most 15" in said and "(judge a-judge 15" in said
    assert proxy.count("chat") == 0


def test_a_rubrics_judge_wants_its_key_before_anything_is_paid(
    rubrics: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, proxy = rubrics
    monkeypatch.delenv("JUDGE_KEY")
    code, said = ftspec(spec, "run", capsys)
    assert code != 0
    assert said.count("secret not set: JUDGE_KEY") == 1
    assert "spec.yaml:11:" in said
    assert "submitted job" not in said
    assert proxy.count("chat") == 0
    misspelt = spec.read_text().replace("openai-compatible:", "openai-compatibel:")
    spec.write_text(misspelt)
    code, said = ftspec(spec, "validate", capsys)
    assert code != 0
    assert "no provider named 'openai-compatibel' is installed; did you mean 'openai-compatible'?" in said


def test_rubrics_are_judged_over_http(rubrics: tuple[Path, Any], capsys: pytest.CaptureFixture[str]) -> None:
    spec, proxy = rubrics
    code, said = ftspec(spec, "run", capsys)
    assert code == 0, said
    report = json.loads(next(spec.parent.glob(".ftspec/runs/*/report/report.json")).read_text())
    assert proxy.count("chat") == 6
    assert contract.problems(proxy.exchanges) == []
    uses = report["evaluation"]["tuned"]["judges"]
    assert [(use["model"], use["questions"], use["failed"]) for use in uses] == [
        ("a-judge", 2, 0),
        ("a-judge", 1, 0),
    ], "by the graders' names"
    assert all(0 < use["cost"] < 15.31 / 6 * use["questions"] for use in uses)
    sea, fire = sorted(report["cases"], key=lambda case: "fire" in json.dumps(case["messages"]))
    assert {name: grade["passed"] for name, grade in _grades(sea).items()} == {"llm_judge": True, "polite": True}
    assert {name: grade["passed"] for name, grade in _grades(fire).items()} == {"llm_judge": False}
    asked = [exchange for exchange in proxy.exchanges if "names the colour of sea" in exchange.request_body.decode()]
    assert asked, "a rubric is filled with its test's variables"
    kept = [file for file in spec.parent.rglob("*") if file.is_file() and fixtures.KEY.encode() in file.read_bytes()]
    assert not kept, "the key is in no file"


def _grades(case: dict[str, Any]) -> dict[str, Any]:
    return dict(case["tuned"][0]["grades"])
