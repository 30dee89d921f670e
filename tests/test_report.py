"""The report: what it says, that data in it stays text, and that it works in a real browser."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import math
import random
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import msgspec
import pytest
import yaml
from msgspec.structs import replace

from ftspec import report
from ftspec.common.errors import Finding, FtspecError
from ftspec.common.evaluation import Evaluation, Grade, Measured, Verdict, Worst
from ftspec.common.jobs import Estimate, ModelRef, Size, TrainingEvent, TunedModel
from ftspec.common.masking import MASK
from ftspec.common.messages import Answer, Generation, Message, Prompt
from ftspec.common.records import Input, Plan, RunInfo, Step, StepCount
from ftspec.common.references import mask
from ftspec.costs.costs import Serving
from ftspec.costs.spending import Spent
from ftspec.grading import grade, scoring
from ftspec.report import ReportData, charts, curves, drawings, page, summary, text, words
from ftspec.report.data import MOST_FAILED, MOST_OTHERS
from ftspec.report.differences import differences
from ftspec.views import card

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`&amp; \x00\x1b[31m \u202egnp.exe\u2066 </pre>{{ 7*7 }}]]>"
)
LABELS = ("billing", "shipping", "account", "technical", "cancellation")


def prompts(count: int = 40) -> list[Prompt]:
    return [
        Prompt(
            id=f"p{i}",
            messages=[
                Message(role="system", content="Route the ticket. Reply with JSON only."),
                Message(role="user", content=f"Ticket {i}: my parcel has not arrived and nobody answers the phone."),
            ],
            expected=json.dumps({"category": LABELS[i % 5], "priority": "high"}),
            origin=f"data/tickets.jsonl:{i + 1}",
        )
        for i in range(count)
    ]


def answered(name: str, asked: list[Prompt], rate: float, repeats: int, seed: int) -> grade.Answered:
    rng = random.Random(seed)
    answers, graded = [], []
    for prompt in asked:
        likely = rng.random() < rate
        for repeat in range(repeats):
            right = likely if rng.random() < 0.95 else not likely
            said = prompt.expected if right else "I am sorry to hear that! Please contact the billing department."
            answers.append(Answer(prompt=prompt.id, repeat=repeat, text=said or "", completion_tokens=14))
            reason = "" if right else "the answer is not JSON: 'I am sorry to hear that! Please…'"
            graded.append(
                grade.Graded(
                    prompt=prompt.id,
                    repeat=repeat,
                    passed=right,
                    grades={"routing": Grade(passed=right, reason=reason)},
                )
            )
    return grade.Answered(model=name, answers=tuple(answers), graded=tuple(graded), seconds=12.5)


def losses(steps: int = 120) -> tuple[TrainingEvent, ...]:
    rng = random.Random(3)
    events = []
    for step in range(1, steps + 1):
        metrics = {"train_loss": 3.2 * math.exp(-step / 18) + 0.06 + rng.random() * 0.12}
        if step % 30 == 0:
            metrics["validation_loss"] = 3.2 * math.exp(-step / 18) + 0.12
        events.append(
            TrainingEvent(id=f"e{step}", at=1_790_000_000.0 + step, step=step, total_steps=steps, metrics=metrics)
        )
    return tuple(events)


def sample_data(repeats: int = 3, count: int = 40, verdicts: tuple[Verdict, ...] | None = None) -> ReportData:
    asked = prompts(count)
    base, tuned = answered("base", asked, 0.05, repeats, 1), answered("tuned", asked, 0.95, repeats, 2)
    default = (
        Verdict(
            gate="accuracy",
            passed=True,
            measured=0.94,
            message="accuracy of the tuned model is 0.940, wanted at least 0.9",
        ),
        Verdict(gate="tone", passed=False, measured=0.5, message="0.400 short of the wanted 0.9", severity="warning"),
    )
    return ReportData(
        name="ticket-router",
        run=RunInfo(id="r-20261122-8f3a", name="ticket-router", spec="specs/router.yaml", started=1_790_000_000.0),
        ftspec="0.1.0",
        spec="specs/router.yaml",
        spec_sha256="ab" * 32,
        plan=Plan(
            name="ticket-router",
            spec="specs/router.yaml",
            run="r-20261122-8f3a",
            digest="d" * 64,
            steps=(
                Step(name="data", digest="1" * 64, keys={}, cached=True),
                Step(name="tuning", digest="2" * 64, keys={}),
            ),
        ),
        verdicts=default if verdicts is None else verdicts,
        evaluation=scoring.evaluate(asked, {"base": base, "tuned": tuned}),
        generation=Generation(temperature=0.7 if repeats > 1 else 0.0, max_tokens=32),
        cases=(found := report.cases(asked, {"base": base, "tuned": tuned})).kept,
        cases_total=found.total,
        cases_failed=found.failed,
        training=losses(),
        counts=(
            StepCount(name="jsonl", rows_in=1200, rows_out=1200),
            StepCount(name="fix_text", rows_in=1200, rows_out=1200, changed=31),
            StepCount(name="drop_empty", rows_in=1200, rows_out=1164, reasons={"text is empty": 36}),
            StepCount(
                name="redact",
                rows_in=1164,
                rows_out=1164,
                changed=212,
                samples=(
                    {
                        "row": 4,
                        "origin": "t.jsonl:5",
                        "reason": "changed",
                        "before": None,
                        "after": {"text": "at [EMAIL]"},
                    },
                    {
                        "row": 9,
                        "origin": "t.jsonl:10",
                        "reason": "dropped",
                        "before": {"text": "call me"},
                        "after": None,
                    },
                ),
            ),
            StepCount(name="dedupe", rows_in=1164, rows_out=981, reasons={"same text as an earlier row": 183}),
        ),
        sides={"train": 700, "validation": 81, "test": 200},
        size=Size(rows=700, validation_rows=81, tokens=91_000, prompts=2 * count * repeats),
        checks=("min_examples", "leakage"),
        findings=(
            Finding(message="3 prompts are very short", severity="warning", check="leakage", file="a.jsonl", line=3),
        ),
        findings_total=1,
        provider="local",
        model=ModelRef(id="smollm2-135m-instruct"),
        tuned=TunedModel(id="ticket-router-8f3a", base=ModelRef(id="smollm2-135m-instruct")),
        method="sft",
        hyperparameters={"epochs": 3, "learning_rate": 0.002, "lora": {"rank": 8}},
        template={"chat": {"system": "Route the ticket.", "user": "{{ text }}"}},
        data_digest="9" * 64,
        inputs=(Input(path="data/tickets.jsonl", sha256="c" * 64, bytes=182_340),),
        versions={"ftspec": "0.1.0", "torch": "2.13.0"},
        estimate=Estimate(seconds=70.0, steps=120, basis="measured tokens per second"),
        timings={"data": 1.2, "tuning": 74.0, "evaluation": 31.0},
    )


class Reader(HTMLParser):
    """Collects elements, attributes and text, and refuses a page whose tags do not nest."""

    VOID = {"meta", "input", "br", "hr", "img", "link", "circle", "line", "path", "rect"}

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.code = {"script": "", "style": ""}
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.code:
            self.code[self.open[-1]] += data
        else:
            self.text += data

    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}

    def attributes(self) -> set[str]:
        return {name for _, attrs in self.tags for name in attrs}


def evil_data() -> ReportData:
    data = sample_data(count=6)
    said = report.Said(text=EVIL * 3, passed=False, grades={EVIL: Grade(passed=False, reason=EVIL)}, finish_reason=EVIL)
    failed = report.Said(text="", passed=False, error=EVIL)
    call = [{"id": EVIL, "function": {"name": EVIL, "arguments": EVIL}}]
    parts = [{"type": "text", "text": EVIL}, {"type": EVIL}, EVIL]
    case = report.Case(
        id=EVIL,
        messages=[Message(role=EVIL, content=parts, tool_calls=call), Message(role="user", content=EVIL)],
        expected=EVIL,
        origin=EVIL,
        base=(said, failed),
        tuned=(msgspec.structs.replace(said, tool_calls=call),),
    )
    sample = {"row": 1, "origin": EVIL, "before": EVIL, "after": {EVIL: EVIL}}
    return msgspec.structs.replace(
        data,
        name=EVIL,
        watermark=EVIL,
        spec=EVIL,
        cases=(case, *data.cases[1:]),
        counts=(StepCount(name=EVIL, rows_in=2, rows_out=1, reasons={EVIL: 1}, samples=(sample,)),),
        sides={EVIL: 3},
        checks=(EVIL,),
        findings=(Finding(message=EVIL, hint=EVIL, check=EVIL, file=EVIL, line=1),),
        verdicts=(Verdict(gate=EVIL, passed=False, measured=None, message=EVIL),),
        model=ModelRef(id=EVIL, revision=EVIL),
        hyperparameters={EVIL: EVIL},
        template={EVIL: {EVIL: EVIL}},
        inputs=(Input(path=EVIL, sha256=EVIL, bytes=1),),
        versions={EVIL: EVIL},
        timings={EVIL: 1.0},
        training=(TrainingEvent(id="1", at=0, step=1, metrics={"train_loss": 1.0}, message=EVIL),),
    )


def test_data_stays_text_in_the_page() -> None:
    plain, evil = Reader(page.render(sample_data())), Reader(page.render(evil_data()))
    assert evil.names() <= plain.names() | {"aside"}
    assert evil.attributes() <= plain.attributes() | {"id"}
    assert [tag for tag, _ in evil.tags].count("script") == 1
    assert evil.code == plain.code
    assert not any(name.startswith("on") for name in evil.attributes())
    shown = text.visible(EVIL)
    for value in (shown, f"{shown}: ", f"no answer: {shown}"):
        assert value in evil.text
    assert not text.HIDDEN.search(page.render(evil_data()))


def test_compiled_templates_are_kept_and_nothing_else_is_taken_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = sample_data()
    first = page.render(data)
    kept = list((tmp_path / "ftspec/templates").iterdir())
    written = {place: place.stat().st_ino for place in kept}
    assert len(kept) == 6 and not any(place.stat().st_mode & 0o077 for place in kept)
    assert page.render(data) == first
    assert {place: place.stat().st_ino for place in kept} == written
    kept[0].write_bytes(kept[0].read_bytes()[:-1])  # cut short
    kept[1].chmod(0o666)  # anybody's
    kept[2].write_bytes(b"")
    assert page.render(data) == first
    assert {place: place.stat().st_ino for place in kept[3:]} == {place: written[place] for place in kept[3:]}
    assert all(place.stat().st_ino != written[place] for place in kept[:3])
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")  # no folder: nothing is kept
    assert page.render(data) == first


def test_hidden_characters_are_seen_and_joiners_left_alone() -> None:
    assert text.visible("a\u202eb\x00c\ud800d\r\ne\tf") == "a⟨U+202E⟩b⟨U+0000⟩c⟨U+D800⟩d\ne\tf"
    assert text.visible("👩\u200d🔧 مرحبا नमस्ते") == "👩\u200d🔧 مرحبا नमस्ते"


def test_the_page_asks_for_nothing() -> None:
    source = page.render(sample_data())
    found = Reader(source)
    policy = next(attrs["content"] for tag, attrs in found.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert not {"src", "srcset", "action"} & found.attributes()
    assert all((attrs["href"] or "").startswith("#") for _, attrs in found.tags if "href" in attrs)
    assert not re.search(r"https?:|@import|url\(", source)


def test_the_verdict_comes_first() -> None:
    found = Reader(page.render(sample_data())).text
    sentence = "The tuned model passes every gate but 1 that only warns."
    assert found.index(sentence) < found.index("Gates") < found.index("share of answers that pass")
    no = (Verdict(gate="accuracy", passed=False, measured=0.5, message="0.400 short of the wanted 0.9"),)
    failed = page.render(sample_data(verdicts=no))
    assert "1 gate did not pass: accuracy." in failed
    assert "<title>FAIL: ticket-router</title>" in failed


def test_a_run_without_evaluation_has_a_report_too(tmp_path: Path) -> None:
    data = ReportData(name="bare", run=RunInfo(id="r", name="bare", spec="s.yaml"))
    found = Reader(report.write(tmp_path, data).read_text())
    assert "The run is complete; no gate judged it." in found.text
    assert "Answers, side by side" not in found.text


def test_the_page_can_be_used_by_keyboard_and_screen_reader() -> None:
    """What axe-core 4.11 found, and would find again."""
    source = page.render(sample_data())
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", source)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all('tabindex="0"' in tag for tag in re.findall(r'<div class="scroll"[^>]*>', source))
    assert all(re.search(r'role="group" aria-label="\w', tag) for tag in re.findall(r"<[^>]* tabindex=[^>]*>", source))
    assert '<span class="sr whose">base</span>' in source, "whose the verdicts are that follow"
    assert not re.search(r'role="graphics-symbol" aria-roledescription="[a-z]+ mark container"', source)
    assert '<aside class="watermark"' in page.render(evil_data())
    named = re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", source)
    for colours in ({name: light for name, light, _ in named}, {name: dark for name, _, dark in named}):
        for name in ("pass", "fail", "warn"):
            assert contrast(colours[name], colours[f"{name}-soft"]) >= 4.5, name
        for model in (*charts.COLOURS.values(), *charts.FURTHER):  # models' names are written in them
            assert contrast(colours[model.removeprefix("var(--").rstrip(")")], colours["card"]) >= 4.5, model


def test_the_page_can_be_printed_and_read_in_forced_colours() -> None:
    """Ink of the dark scheme cannot be read on paper; forced colours take the background that tells what is chosen."""
    style = (ROOT / "ftspec/report/page.css").read_text()
    everywhere = re.sub(r"@media screen \{.*?\n\}", "", style, flags=re.DOTALL)
    assert re.findall("color-scheme: ([^;]*);", everywhere) == ["light"]
    forced = style.split("@media (forced-colors: active) {", 1)[1].split("\n}", 1)[0]
    assert "input:checked" in forced and ".key" in forced


def contrast(one: str, two: str) -> float:
    """WCAG 2.2, 1.4.3: contrast of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted([luminance(one), luminance(two)])
    return (light + 0.05) / (dark + 0.05)


def test_samples_show_what_is_known_of_a_row() -> None:
    found = Reader(page.render(sample_data())).text
    assert "t.jsonl:5: changed" in found
    assert "before: not kept: it was not redacted yet" in found
    assert "after: text: at [EMAIL]" in found
    assert "before: text: call me" in found
    assert "after: dropped" in found


def test_findings_fail_a_run_without_gates() -> None:
    finding = Finding(message="row leaks", check="leakage")
    data = msgspec.structs.replace(sample_data(verdicts=()), findings=(finding,))
    assert not data.passed
    assert "The data checks found 1 error." in page.render(data)


def test_the_watermark_is_on_everything(tmp_path: Path) -> None:
    report.write(tmp_path, msgspec.structs.replace(sample_data(), watermark="simulated"))
    assert all("simulated" in (tmp_path / name).read_text() for name in ("report.html", "report.md", "report.json"))


def test_json_round_trips(tmp_path: Path) -> None:
    data = sample_data()
    report.write(tmp_path, data)
    assert report.read(tmp_path / "report.json") == data
    assert json.loads((tmp_path / "report.json").read_text())["schema"] == report.SCHEMA
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "report.html", "report.json", "report.md"]


def test_what_json_cannot_hold_is_left_out(tmp_path: Path) -> None:
    event = TrainingEvent(id="1", at=0, step=1, metrics={"train_loss": math.nan, "epoch": 1.0})
    data = msgspec.structs.replace(sample_data(), training=(event,), name="a\ud800b")
    report.write(tmp_path, data)
    found = report.read(tmp_path / "report.json")
    assert found.training[0].metrics == {"epoch": 1.0}
    assert found.name == "a\ufffdb"


@pytest.mark.parametrize("content", ["", "[]", '{"name": "x"}'])
def test_a_broken_report_is_an_error_with_a_hint(tmp_path: Path, content: str) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(FtspecError, match="cannot be read as a report"):
        report.read(tmp_path / "report.json")


def test_a_newer_report_says_upgrade(tmp_path: Path) -> None:
    report.write(tmp_path, msgspec.structs.replace(sample_data(), schema=report.SCHEMA + 1))
    with pytest.raises(FtspecError) as error:
        report.read(tmp_path / "report.json")
    assert error.value.hint == "upgrade ftspec"


def test_secrets_are_masked_in_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPORT_TOKEN", 'sk-<"&>-1234')
    monkeypatch.setattr(mask, "names", {"REPORT_TOKEN"})
    leak = 'said sk-<"&>-1234 !'
    data = msgspec.structs.replace(sample_data(count=3), name=leak, hyperparameters={leak: [leak]}, watermark=leak)
    data = msgspec.structs.replace(data, cases=(msgspec.structs.replace(data.cases[0], expected=leak),))
    report.write(tmp_path, data)
    card.write(tmp_path, data)
    for path in tmp_path.iterdir():
        assert "1234" not in path.read_text(), path.name
        assert "***" in path.read_text(), path.name


def test_the_summary_fits_a_pull_request() -> None:
    data = sample_data(count=300)
    many = tuple(Verdict(gate=f"g{i}", passed=False, measured=0.1, message="m" * 2000) for i in range(40))
    counts = tuple(StepCount(name=f"s{i}", rows_in=9, rows_out=8) for i in range(60))
    findings = tuple(Finding(message="f\nf" * 300) for _ in range(500))
    most = msgspec.structs.replace(
        data,
        verdicts=many,
        counts=counts,
        findings=findings,
        evaluation=compared(9),
        serving=tuple(Serving(label=f"m{i}", model="m", thousand=0.1) for i in range(9)),
        spending=Spent(parts={"tuning": 1.0, "judge x": 2.0}, currency="USD"),
    )
    for found in (data, most, evil_data()):
        lines = summary.render(found).splitlines()
        assert len(lines) < 60
        assert lines[-1].startswith(("model ", "run "))
        assert lines[0].startswith("## ")


def compared(count: int) -> Evaluation:
    """Models that were asked without training: base and further ones."""
    asked = prompts(10)
    labels = ["base", *(f"other {number}" for number in range(1, count))]
    found = {label: answered(label, asked, 0.5, 2, seed) for seed, label in enumerate(labels)}
    return scoring.evaluate(asked, found)


def test_a_summary_without_a_tuned_model_compares_those_that_were_asked() -> None:
    data = msgspec.structs.replace(sample_data(), evaluation=compared(2), tuned=None)
    found = summary.render(data)
    assert "Every gate but 1 that only warns passes. Of 10 prompts, answered right: base " in found
    assert "| `other 1` − `base` |" in found


def test_a_page_without_a_tuned_model_compares_those_that_were_asked() -> None:
    asked = prompts(10)
    found = {label: answered(label, asked, 0.5, 2, seed) for seed, label in enumerate(["base", "other 1", "other 2"])}
    data = msgspec.structs.replace(
        sample_data(), evaluation=compared(3), tuned=None, cases=report.cases(asked, found).kept, training=()
    )
    rendered = page.render(data)
    assert "Failed <b>" in rendered
    assert "Regressed <b>" not in rendered
    assert len(set(charts.colours(["base", "tuned", "one", "two", "three"]).values())) == 5
    assert not {"var(--pass)", "var(--fail)"} & set(charts.FURTHER)


def test_where_no_question_was_answered_no_accuracy_is_told() -> None:
    asked = prompts(4)
    silent = tuple(Answer(prompt=prompt.id, repeat=0, error="away") for prompt in asked)
    graded = tuple(grade.Graded(prompt=prompt.id, repeat=0, passed=False, error="away") for prompt in asked)
    found = {"base": grade.Answered(model="base", answers=silent, graded=graded)}
    data = msgspec.structs.replace(sample_data(), evaluation=scoring.evaluate(asked, found), tuned=None)
    assert "answered right: base –." in summary.render(data)
    assert '<span class="figure">–</span>' in page.render(data)
    assert "| not answered, or without a verdict | 4 |" in summary.render(data)


def test_what_nobody_has_counted_is_not_told_as_nothing() -> None:
    unknown = msgspec.structs.replace(sample_data(), spending=Spent(uncounted=7, currency="USD"))
    assert "| this run | cannot tell |" in summary.render(unknown)
    partly = msgspec.structs.replace(unknown, spending=Spent(parts={"judge": 2.0}, uncounted=7, currency="USD"))
    assert "| this run | at least 2.00 USD |" in summary.render(partly)


def test_pass_at_k_is_that_of_the_same_k_for_each_model() -> None:
    evaluation = sample_data().evaluation
    assert evaluation is not None
    lossy = msgspec.structs.replace(evaluation.tuned, pass_at=(Measured(value=0.123456),))
    data = msgspec.structs.replace(sample_data(), evaluation=msgspec.structs.replace(evaluation, tuned=lossy))
    assert "12.3%" not in page.render(data)


def test_gates_that_did_not_pass_come_first_in_a_summary() -> None:
    passed = [Verdict(gate=f"g{i}", passed=True, measured=1.0, message="fine") for i in range(12)]
    failed = Verdict(gate="last", passed=False, measured=0.0, message="short")
    found = summary.render(sample_data(verdicts=(*passed, failed)))
    assert found.index("`last`") < found.index("`g0`")
    assert "… and 5 more gates: see report.html." in found


def outside_code(markdown: str) -> str:
    """Markdown without what is escaped, and without code spans and fences."""
    return re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"\\.", "", markdown), flags=re.DOTALL)


def test_data_stays_text_in_the_summary() -> None:
    found = summary.render(msgspec.structs.replace(evil_data(), model=ModelRef(id="a|b`c``d @user http://x.y")))
    assert not text.HIDDEN.search(found)
    outside = outside_code(found)
    assert not any(sign in outside for sign in ("<", "://"))
    assert "```a|b`c``d @user http://x.y```" in found, "a backslash is for a table's cell alone"


def test_nobody_is_mentioned_and_a_line_number_is_no_emoji() -> None:
    """Servers look for people, issues and emoji in what comes of the Markdown, where entities are letters again."""
    found = summary.plain("@team #12 a@b.example data/t.jsonl:100: short [&#49;] https://b.example")
    rendered = html.unescape(re.sub(r"\\(.)", r"\1", found))
    assert not re.search(r"@\w|#\d|:\w+:", rendered)
    assert rendered.replace("\u200b", "") == "@team #12 a@b.example data/t.jsonl:100: short [&#49;] https://b.example"
    finding = Finding(message="is short", file="t.jsonl", line=100)
    told = summary.render(replace(sample_data(), findings=(finding,)))
    assert "- ❌ `t.jsonl:100`: is short" in told


def test_junit_has_the_common_shape(tmp_path: Path) -> None:
    no = Verdict(gate="gain", passed=False, measured=0.0, message="0.2 short")
    error = Finding(message="row leaks", check="leakage", file="a.jsonl", line=3)
    data = sample_data()
    data = msgspec.structs.replace(data, verdicts=(*data.verdicts, no), findings=(error,))
    report.write(tmp_path, data)
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures")) == ("5", "2")
    for suite in root:
        assert suite.tag == "testsuite"
        assert int(suite.get("tests", "")) == len(suite)
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
        assert all(case.get("name") and case.get("classname") for case in suite)
    assert {case.get("name") for case in root.iter("testcase") if case.find("failure") is not None} == {
        "gain",
        "leakage",
    }
    failure = next(root.iter("failure"))
    assert (failure.get("type"), failure.get("message")) == ("FAIL", "0.2 short")
    thin = msgspec.structs.replace(data, verdicts=(msgspec.structs.replace(no, outcome="INSUFFICIENT_EVIDENCE"),))
    report.write(tmp_path, thin)
    failure = next(ElementTree.parse(tmp_path / "junit.xml").iter("failure"))
    assert failure.get("message") == "INSUFFICIENT EVIDENCE: 0.2 short"


def test_junit_is_xml_whatever_the_data(tmp_path: Path) -> None:
    report.write(tmp_path, evil_data())
    assert text.visible(EVIL) in {
        case.get("name") for case in ElementTree.parse(tmp_path / "junit.xml").iter("testcase")
    }


def test_outcomes_of_cases() -> None:
    yes, no = report.Said(text="y", passed=True), report.Said(text="n", passed=False)
    lost = report.Said(text="", passed=False, error="boom")

    def case(base: tuple[report.Said, ...], tuned: tuple[report.Said, ...]) -> report.Case:
        return report.Case(id="c", messages=[], base=base, tuned=tuned)

    found = [
        case((no,), (yes,)),
        case((yes,), (no,)),
        case((no,), (no,)),
        case((yes,), (yes,)),
        case((no, no), (yes, no)),
    ]
    assert [one.outcome for one in found] == ["fixed", "regressed", "failed", "passed", "fixed"]
    assert [one.failed for one in found] == [False, True, True, False, True]
    assert case((yes, lost), (yes, yes)).change == 0


def test_the_page_is_bounded_and_shows_the_worst() -> None:
    yes, no = report.Said(text="y", passed=True), report.Said(text="n" * 20_000, passed=False)
    message = [Message(role="user", content="q" * 20_000)]
    cases = [
        report.Case(id=str(i), messages=message, base=(yes,), tuned=(no if i % 10 == 0 else yes,)) for i in range(9000)
    ]
    shown = page.chosen(cases)
    assert len(shown) <= page.WORST + page.SAMPLE
    assert [number for number, _ in shown] == sorted(number for number, _ in shown)
    assert sum(case.failed for _, case in shown) == page.WORST
    assert any(not case.failed for _, case in shown)
    data = msgspec.structs.replace(sample_data(), cases=tuple(cases), cases_total=len(cases))
    rendered = page.render(data)
    assert len(rendered.encode()) < 10_000_000
    assert "of 9,000: the worst, and a sample of the others" in rendered


def drawn(*wanted: drawings.Chart | None) -> list[ElementTree.Element]:
    """Charts as XML, which they must be."""
    found = drawings.draw([chart for chart in wanted if chart])
    return [ElementTree.fromstring(one.replace("<svg ", '<svg xmlns:xlink="x" xmlns="y" ', 1)) for one in found]


def test_hyperparameters_are_shown_by_the_names_that_a_spec_sets() -> None:
    data = replace(sample_data(), hyperparameters={"epochs": 3, "max_steps": None, "lora": {"rank": 8, "alpha": None}})
    assert words.facts(data)["Hyperparameters"] == {"epochs": "3", "lora.rank": "8"}


def test_charts_stand_for_their_numbers() -> None:
    evaluation = sample_data().evaluation
    assert evaluation is not None
    alone = sample_data(repeats=1).evaluation
    assert alone is not None
    both, greedy = drawn(charts.quadrant(evaluation.scores), charts.quadrant(alone.scores))
    assert "reliable and repeatable" in both.get("aria-label", "")
    said = [mark.get("aria-label", "") for mark in both.iter() if mark.get("aria-roledescription") == "circle"]
    assert {re.search(r"model: (\w+)", words)[1] for words in said} == {"base", "tuned"}  # type: ignore[index]
    assert greedy.get("aria-label", "").startswith("Accuracy. base: accuracy ")


def test_the_names_of_the_best_and_the_worst_model_do_not_lie_on_those_of_their_quadrants() -> None:
    evaluation = sample_data().evaluation
    assert evaluation is not None
    ends = {
        name: replace(score, accuracy=accuracy, consistency=1.0)
        for (name, score), accuracy in zip(evaluation.scores.items(), (0.0, 1.0), strict=True)
    }
    (found,) = drawn(charts.quadrant(ends))
    heights = {"".join(text.itertext()): _height(text) for text in found.iter("{y}text")}
    for model, quadrant in (("tuned", "reliable and repeatable"), ("base", "repeatedly wrong")):
        assert abs(heights[model] - heights[quadrant]) > 12


def _height(text: ElementTree.Element) -> float:
    return float(re.findall(r"[-.0-9]+", text.get("transform", ""))[1])


def test_slices_are_drawn_where_there_are_any() -> None:
    evaluation = sample_data().evaluation
    assert evaluation is not None
    assert charts.slices(evaluation.scores) is None
    evil = "</svg><script>alert(1)</script>"
    tagged = {name: replace(score, slices={evil: score, "plain": score}) for name, score in evaluation.scores.items()}
    found = charts.slices(tagged)
    assert found is not None
    assert "<script" not in drawings.draw([found])[0]
    assert drawn(found)[0].get("aria-label", "").startswith("Accuracy by slice: ")
    lost = {name: replace(score, slices={"lost": replace(score, errors=10**6)}) for name, score in tagged.items()}
    assert charts.slices(lost) is None
    page.render(replace(sample_data(), evaluation=replace(evaluation, base=lost["base"], tuned=lost["tuned"])))


def test_charts_are_drawn_the_same_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = sample_data().evaluation
    assert evaluation is not None
    wanted = [charts.quadrant(evaluation.scores), charts.accuracy(evaluation.scores)]
    here = drawings.draw(wanted)
    monkeypatch.delitem(sys.modules, drawings.ENGINE)
    assert drawings.draw(wanted) == here
    assert drawings.ENGINE not in sys.modules


def test_a_process_that_is_killed_as_it_draws_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.CompletedProcess([], -9, b"", b"libc.so.6(+0x1098ec) [0x7ffb9c1278ec]")
    monkeypatch.setattr(drawings.subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(FtspecError, match="ended by SIGKILL, as where there is no memory left"):
        drawings._elsewhere([])


def test_a_chart_that_cannot_be_drawn_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        with pytest.raises(FtspecError, match="charts cannot be drawn: "):
            drawings.draw([drawings.Chart({"mark": 7}, "nothing")])
        monkeypatch.delitem(sys.modules, drawings.ENGINE, raising=False)


def test_what_differs_from_the_expected_is_marked() -> None:
    assert differences("I want 3 apples", "I want 2 apples") == [("I want ", False), ("3", True), (" apples", False)]
    assert differences("anything", None) == [("anything", False)]
    assert "".join(piece.words for piece in differences("a <b> c", "x y")) == "a <b> c"


def test_only_some_cases_are_kept_of_many() -> None:
    asked = prompts(3000)
    models = {"base": answered("base", asked, 0.05, 1, 1), "tuned": answered("tuned", asked, 0.5, 1, 2)}
    found = report.cases(asked, models)
    assert found.total == 3000
    assert found.failed > MOST_FAILED
    assert len([case for case in found.kept if case.failed]) == MOST_FAILED
    assert 0 < len(found.kept) - MOST_FAILED <= MOST_OTHERS
    order = {prompt.id: number for number, prompt in enumerate(asked)}
    assert [order[case.id] for case in found.kept] == sorted(order[case.id] for case in found.kept)


def test_the_json_has_a_published_schema() -> None:
    published = json.loads((ROOT / "docs/report.schema.json").read_text())
    assert published == json.loads(msgspec.json.encode(report.schema())), "write it anew: make docs"
    jsonschema.Draft202012Validator(published).validate(json.loads(msgspec.json.encode(sample_data())))


def test_the_loss_curve_is_thinned_and_starts_and_ends_right() -> None:
    points = curves.thinned(losses(5000), "train_loss")
    assert len(points) <= curves.POINTS + 1
    assert (points[0].step, points[-1].step) == (1, 5000)
    assert curves.loss(()) is None
    curve, point = (curves.loss(losses(count)) for count in (5000, 1))
    assert curve is not None and point is not None
    drawn(curve)
    assert 'aria-roledescription="point"' in drawings.draw([point])[0], (
        "one value is a point, where no line can be seen"
    )


def test_the_card_is_in_the_hubs_format(tmp_path: Path) -> None:
    path = card.write(tmp_path, sample_data(), form="adapter", base_model="org/base-135M")
    _, front, body = path.read_text().split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["base_model"] == "org/base-135M"
    assert metadata["base_model_relation"] == "adapter"
    assert metadata["library_name"] == "peft"
    (result,) = metadata["model-index"][0]["results"]
    assert {"task", "dataset", "metrics"} <= set(result)
    for wanted in ("9" * 64, "**PASS.**", "{{ text }}", "learning_rate: 0.002", "smollm2-135m-instruct"):
        assert wanted in body


def test_the_card_shows_no_folder_of_this_machine() -> None:
    data = msgspec.structs.replace(sample_data(), model=ModelRef(id="/home/someone/models/tiny"))
    found = card.render(data)
    assert "/home/someone" not in found
    assert "`tiny`" in found
    assert "base_model" not in found


def test_data_stays_text_in_the_card() -> None:
    found = card.render(evil_data())
    assert not text.HIDDEN.search(found)
    yaml.safe_load(found.split("---\n")[1])
    assert "<" not in outside_code(found.split("---\n", 2)[2])


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_works_in_a_browser(tmp_path: Path) -> None:
    """The page's own script filters, sorts, searches and changes the theme; nothing evil runs, nothing is asked for."""
    data = evil_data()
    data = replace(data, template={"chat": {"system": "line\n" * 100, "user": "short"}})
    (said,) = data.cases[0].tuned
    long = replace(data.cases[0], tuned=(replace(said, text="line\n" * 100),))
    source = page.render(replace(data, cases=(long, *data.cases[1:])))
    driven = tmp_path / "driven.html"
    driven.write_text(_driven(source))
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", driven.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    answer = re.search(r'data-answer="([^"]*)"', done.stdout)
    assert answer is not None, done.stderr[-2000:]
    found = json.loads(answer[1].replace("&quot;", '"'))
    assert found == {
        "failed": True,
        "expanded": True,
        "searched": 1,
        "sorted": True,
        "reversed": True,
        "dark": True,
        "light": True,
        "told": ["1 of 6 prompts", "6 prompts; sorted by Tuned", "6 prompts; sorted by Tuned, reversed"],
        "pressed": ["false", "true", "false"],
        "reached": [0, 0],
        "scripts": 1,
        "images": 0,
        "violations": 0,
        "requests": 0,
        "errors": 0,
    }


DRIVE = """
const seen = {violations: 0, errors: 0, told: [], pressed: []};
addEventListener("securitypolicyviolation", () => seen.violations++);
addEventListener("error", () => seen.errors++);
addEventListener("load", () => {
  const all = () => [...document.querySelectorAll("#cases > .case")];
  const shown = () => all().filter((node) => !node.hidden);
  const click = (selector) => document.querySelector(selector).click();
  click("[name=filter][value=failed]");
  const some = shown().length > 0 && shown().length < all().length;
  seen.failed = some && shown().every((node) => node.dataset.tags.includes("failed"));
  click("[name=filter][value=all]");
  const search = document.getElementById("search");
  search.value = "TICKET 3";
  search.dispatchEvent(new Event("input", {bubbles: true}));
  seen.searched = shown().length;
  const tell = () => seen.told.push(document.getElementById("status").textContent);
  tell();
  search.value = "";
  search.dispatchEvent(new Event("input", {bubbles: true}));
  const order = () => all().map((node) => Number(node.dataset.second));
  const rising = (list) => list.every((one, i) => !i || list[i - 1] <= one);
  click("[data-sort=second]");
  seen.sorted = rising(order());
  tell();
  click("[data-sort=second]");
  seen.reversed = rising(order().reverse());
  tell();
  all()[0].querySelector("summary").click();
  const stops = (selector) => Math.max(...[...document.querySelectorAll(selector)].map((pre) => pre.tabIndex));
  const opened = all().find((node) => node.textContent.includes("line\\nline"));
  opened.addEventListener("toggle", () => {
    seen.reached = [stops("#provenance pre"), stops("#" + (opened.id = "opened") + " pre")];
    document.documentElement.dataset.answer = JSON.stringify(seen, Object.keys(seen).sort());
  });
  opened.open = true;
  seen.expanded = all()[0].open && all()[0].querySelector(".full").checkVisibility();
  const paper = () => getComputedStyle(document.body).backgroundColor;
  const first = paper();
  const press = () => seen.pressed.push(document.getElementById("theme").ariaPressed);
  press();
  click("#theme");
  press();
  seen.dark = document.documentElement.dataset.theme === "dark" && paper() !== first;
  click("#theme");
  press();
  seen.light = document.documentElement.dataset.theme === "light" && paper() === first;
  seen.scripts = document.scripts.length - 1;
  seen.images = document.images.length;
  seen.requests = performance.getEntriesByType("resource").length;
});
"""


def _driven(source: str) -> str:
    """The page with a second script that uses it, let through the page's policy by its own hash."""
    digest = base64.b64encode(hashlib.sha256(DRIVE.encode()).digest()).decode()
    source = source.replace("script-src '", f"script-src 'sha256-{digest}' '", 1)
    return source.replace("<title>", f"<script>{DRIVE}</script><title>", 1)


def thin_data() -> ReportData:
    worst = Worst(prompt="p1", origin="data/t.jsonl:2", asked="<b>where?</b>", expected="delivery", said="payment")
    thin = Verdict(gate="gain", passed=False, measured=0.1, message="too few prompts", needed=400, worst=(worst,))
    thin = replace(thin, outcome="INSUFFICIENT_EVIDENCE")
    data = sample_data(verdicts=(thin,))
    evaluation = data.evaluation
    assert evaluation is not None
    suites = {"general": Evaluation(base=evaluation.base, tuned=evaluation.tuned)}
    return replace(data, findings=(), evaluation=replace(evaluation, suites=suites))


def test_thin_evidence_is_neither_a_pass_nor_a_fail() -> None:
    data = thin_data()
    rendered, told = page.render(data), summary.render(data)
    assert "<b>INSUFFICIENT EVIDENCE</b>" in rendered
    assert told.startswith("## ❔ INSUFFICIENT EVIDENCE")
    assert "❔ | `gain`" in told


def test_the_worst_cases_of_a_gate_and_the_general_questions_are_shown() -> None:
    rendered, told = page.render(thin_data()), summary.render(thin_data())
    assert "&lt;b&gt;where?&lt;/b&gt;" in rendered
    assert "1 case that speak" not in rendered
    assert "General ability" in rendered
    assert "General ability: `base` " in told
    assert len(told.splitlines()) < 60


def test_what_is_clean_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    data = replace(sample_data(), plan=None)
    assert report.clean(data) is data
    monkeypatch.setenv("SHORT", data.cases[3].base[0].text)
    monkeypatch.setattr(mask, "names", {"SHORT"})
    odd = {"loss": math.inf, "half \ud800": "é\udfff", "fine": 1.0}
    cleaned = report.clean(replace(data, hyperparameters=odd))
    assert cleaned.cases[3].base[0].text == MASK
    assert cleaned.hyperparameters == {"half \ufffd": "é\ufffd", "fine": 1.0}
    assert cleaned.counts is data.counts


def test_signatures_of_addresses_are_not_in_it() -> None:
    finding = Finding(message="https://bucket/a.jsonl?X-Amz-Signature=3f9c0a1b7d5e is refused")
    (cleaned,) = report.clean(replace(sample_data(), findings=(finding,))).findings
    assert cleaned.message == "https://bucket/a.jsonl?X-Amz-Signature=*** is refused"


def test_a_secret_that_is_a_word_hides_no_field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORD", "verdicts")
    monkeypatch.setattr(mask, "names", {"WORD"})
    report.write(tmp_path, replace(sample_data(), name="of verdicts"))
    shown = json.loads((tmp_path / "report.json").read_text())
    assert {"name", "evaluation", "verdicts"} <= set(shown)
    assert shown["name"] == "of ***"


def test_an_answer_without_a_verdict_is_no_failed_one() -> None:
    asked = prompts(1)
    answer = Answer(prompt="p0", repeat=0, text="route it to billing")
    silent = grade.Graded(prompt="p0", repeat=0, passed=False, error="the judge did not say a score")
    given = {"base": grade.Answered(model="base", answers=(answer,), graded=(silent,))}
    ((case,), *_) = report.cases(asked, given)
    assert (case.base[0].unjudged, report.data.rate(case.base)) == ("the judge did not say a score", 0.0)
    shown = page.render(replace(sample_data(count=1), cases=(case,), cases_total=1))
    assert '<span class="sr">no verdict</span>' in shown
    assert "the judge did not say a score" in shown
