"""The training rows beside a failed case: found by what was asked, with their place, and only where they are near."""

from __future__ import annotations

from pathlib import Path

from runs import run

from ftspec.report import read
from ftspec.run import likeness

SPEC = """\
version: 1
name: near
sources:
  - jsonl: {path: train.jsonl}
format:
  chat: {user: "{{ text }}", assistant: "{{ label }}"}
provider:
  simulated: {accuracy: 0.0, base_accuracy: 0.0, noise: 0.0}
model: sim-base
eval:
  prompts:
    - examples:
        rows: [{text: my parcel number seven is lost, label: delivery}, {text: zzz qqq, label: other}]
  graders: [exact]
"""
ROWS = """\
{"text": "the invoice is wrong", "label": "payment"}
{"text": "my parcel number two is lost", "label": "delivery"}
{"text": "change my password please", "label": "account"}
"""


def test_failed_cases_stand_beside_the_rows_that_are_like_them(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(ROWS)
    (tmp_path / "near.yaml").write_text(SPEC)
    outcome = run(tmp_path / "near.yaml")
    near = {case.messages[-1].content: case.nearest for case in read(outcome.report.with_name("report.json")).cases}
    (first,) = near["my parcel number seven is lost"]
    assert (first.origin, first.text) == ("train.jsonl:2", "my parcel number two is lost\n→ delivery")
    assert likeness.LEAST / 100 <= first.similarity < 1
    assert near["zzz qqq"] == ()
    assert "my parcel number two is lost" in outcome.report.read_text()
