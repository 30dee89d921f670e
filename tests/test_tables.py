"""Tables of prices and retirement days: ours are sound, the user's count first, and faults are told at their lines."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ftspec import problems, registry
from ftspec.cli import guard
from ftspec.common.errors import SpecError
from ftspec.common.jobs import Estimate, ModelRef, Request, Size
from ftspec.common.messages import Answer, Message, Prompt
from ftspec.costs import costs, tables
from ftspec.validation import retirement, validate

OPENAI = "https://api.openai.com/v1"
TABLE = """\
endpoints: ["simulated*"]
currency: EUR
source: the house's contract
as_of: 2026-11-01
prices:
  - models: [some-model]
    tuning: 10
    base: {prompt: 1, completion: 2}
    tuned: {prompt: 2, completion: 4}
    hosting_hour: 6
retirements:
  - {what: model, models: ["some-*"], day: 2027-03-01, note: the contract ends}
"""
SPEC = """\
version: 1
name: priced
sources: [{examples: {rows: [{prompt: one, completion: "1"}]}}]
format: {prompt_completion: {}}
provider: {simulated: {}}
model: some-model
costs: {prices: [house.yaml]}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(retirement, "today", lambda: datetime.date(2026, 11, 28))
    (tmp_path / "house.yaml").write_text(TABLE)
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC)
    return file


def test_every_entry_of_ours_has_a_source_and_a_day_that_has_been() -> None:
    known = tables.read()
    assert known.prices
    assert known.retirements
    for entry in (*known.prices, *known.retirements):
        assert entry.source
        assert entry.as_of <= datetime.datetime.now(datetime.UTC).date()


def test_what_nobody_has_looked_up_is_unverified() -> None:
    known = tables.read()
    assert {price.source for price in known.prices if price.verified} == {"nothing is billed by anyone"}
    assert not any(end.verified for end in known.retirements)
    request = Request(model=ModelRef(id="gpt-4.1-mini"), hyperparameters={"epochs": 2})
    part = costs.tuning_part(known, OPENAI, request, Size(tokens=1000), Estimate(), name="tuning")
    assert (part.verified, part.source) == (False, "from memory; not looked up")
    assert costs.Costs(parts=(part,)).unverified == (part,)


def test_an_openai_spec_is_warned_of_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retirement, "today", lambda: datetime.date(2026, 11, 28))
    found = list(retirement.problems(tables.read(), OPENAI, "gpt-4.1-mini-2025-04-14"))
    said = [(problem.path, problem.severity, problem.message.split(":")[0]) for problem in found]
    assert said == [
        (("provider",), "warning", "this tuner is being closed since 2026-07-02"),
        (("provider",), "warning", "this tuner retires on 2027-01-06, in 39 days"),
        (("model",), "warning", "model 'gpt-4.1-mini-2025-04-14' retires on 2027-01-14, in 47 days"),
    ]
    within = list(retirement.problems(tables.read(), OPENAI, "gpt-4.1-mini-2025-04-14", within=40))
    assert [problem.severity for problem in within] == ["warning", "error", "warning"]
    assert not list(retirement.problems(tables.read(), "local", "smollm2-135m-instruct", within=10000))


def test_the_users_table_counts_first_and_only_for_its_endpoint(spec: Path) -> None:
    known = tables.read([spec.with_name("house.yaml")])
    mine = known.price("tuning", "simulated", "some-model")
    assert mine
    assert (mine.tuning, mine.currency, known.is_own(mine)) == (10, "EUR", True)
    other = known.price("tuning", "simulated", "another")
    assert other
    assert (other.tuning, known.is_own(other)) == (0, False)
    assert known.price("tuning", "https://elsewhere.example", "some-model") is None


@pytest.mark.parametrize("named", ["local", "local*", "local?precision=bf16"])
def test_a_table_for_an_endpoint_is_for_each_way_to_compute_there(spec: Path, named: str) -> None:
    table = spec.with_name("house.yaml")
    table.write_text(TABLE.replace("simulated*", named))
    known = tables.read([table])
    mine = known.price("tuning", "local?precision=bf16", "some-model")
    assert mine and known.is_own(mine)
    assert known.ends("local?precision=bf16", "some-model")
    other = known.price("tuning", "local?precision=fp32", "some-model")
    assert other and known.is_own(other) == (named != "local?precision=bf16"), "ours says that it is free, too"


def test_tables_in_the_users_folder_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ftspec" / "prices"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(TABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert tables.read().own == 1


def test_faults_of_a_table_are_told_all_at_once(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = spec.with_name("house.yaml")
    table.write_text(TABLE.replace("tuning: 10", "tuning: -1").replace("day: 2027-03-01", "day: soon") + "extra: 1\n")
    with pytest.raises(SpecError) as caught:
        tables.read([table])
    text = problems.render(caught.value.problems, caught.value.document)
    assert f"{table}:7:13: Expected `float` >= 0.0" in text
    assert re.search(re.escape(f"{table}:12:") + "[0-9]+: Invalid", text)
    assert f"{table}:13:1: unknown key 'extra'" in text
    assert guard.run(["validate", str(spec)]) == 1
    assert "house.yaml:7:13" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (TABLE.replace("EUR", "euro"), ["2:11: Expected `str` matching regex '^[A-Z]{3}$'"]),
        (TABLE.replace('["simulated*"]', "simulated*"), ["1:12: Expected `array`, got `str`"]),
        (TABLE.replace("as_of: 2026-11-01\n", ""), ["5:5: Object missing required field `as_of`", "11:5: Object"]),
        (TABLE.replace("[some-model]", "[]"), ["6:13: Expected `array` of length >= 1"]),
        (TABLE.replace("[some-model]", "[some-model, 7]"), ["6:26: Expected `str`, got `int`"]),
        (TABLE.replace("prompt: 2,", "prompt: 2, cached: 1,"), ["9:12: Object contains unknown field `cached`"]),
        (TABLE.replace("hosting_hour", "hosting"), ["6:5: Object contains unknown field `hosting`"]),
        (TABLE.replace("note:", "notes:"), ["12:5: Object contains unknown field `notes`"]),
        ("prices: {a: 1}\n", ["1:9: 'prices' is a list; write one entry per line, each beginning with '- '"]),
        ("prices: [5]\n", ["1:10: Expected `object`, got `int`; see docs/costs.md"]),
        ("- 5\n", ["1:1: a table of prices is a mapping; see docs/costs.md"]),
    ],
)
def test_a_fault_of_a_table_is_told_once_where_it_stands(table: str, said: list[str], tmp_path: Path) -> None:
    """Also where it stands at the top, for all entries."""
    file = tmp_path / "house.yaml"
    file.write_text(table)
    with pytest.raises(SpecError) as caught:
        tables.read([file])
    told = problems.render(caught.value.problems, caught.value.document).replace(f"{file}:", "")
    lines = [line for line in told.splitlines() if re.match(r"[0-9]+:", line)]
    assert [line[: len(start)] for line, start in zip(lines, said, strict=True)] == said


def test_what_ends_first_is_told_first_and_of_each_method_its_price(tmp_path: Path) -> None:
    file = tmp_path / "house.yaml"
    head = "endpoints: [here]\ncurrency: EUR\nsource: s\nas_of: 2026-11-01\n"
    prices = (
        "prices:\n  - {models: [m], methods: [dpo], tuning: 1}\n  - {models: [m], tuning: 2}\n"
        "  - {models: [m], tuning: 3}\n"
    )
    ends = [("tuning", "2028-01-01", "*"), ("model", "2027-01-01", "m*"), ("model", "2026-12-01", "other")]
    listed = (f"  - {{what: {what}, day: {day}, models: ['{models}']}}\n" for what, day, models in ends)
    file.write_text(f"{head}{prices}retirements:\n{''.join(listed)}")
    found = tables.read([file])
    assert [(end.what, end.day.year) for end in found.ends("here", "m")] == [("model", 2027), ("tuning", 2028)]
    assert found.ends("elsewhere", "m") == []
    priced = [found.price("tuning", "here", "m", method) for method in ("dpo", "sft")]
    assert [price and price.tuning for price in priced] == [1, 2]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"prices": []}, True), ({"retirements": []}, True), ({"prices": [], "sources": []}, False),
        ({"currency": "EUR"}, False), (["prices"], False), (None, False),
    ],
)  # fmt: skip
def test_a_table_is_told_from_a_spec(data: object, expected: bool) -> None:
    assert tables.is_table(data) is expected


def test_a_table_that_is_not_there(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.with_name("house.yaml").unlink()
    assert guard.run(["validate", str(spec)]) == 1
    assert "spec.yaml:7:18: no such file: house.yaml" in capsys.readouterr().out


def test_validate_warns_and_fails_when_told(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.run(["validate", str(spec)]) == 0
    assert "spec.yaml:6:8: warning: model 'some-model' retires on 2027-03-01, in 93 days" in capsys.readouterr().out
    for command in ("validate", "plan", "run"):
        assert guard.run([command, str(spec), "--fail-if-retires-within", "90d"]) == 0
        assert guard.run([command, str(spec), "--fail-if-retires-within", "180d"]) == 1
        assert "retires on 2027-03-01" in "".join(capsys.readouterr())


def test_the_warning_is_data(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.run(["validate", str(spec), "--format", "json"]) == 0
    (problem,) = json.loads(capsys.readouterr().out)
    assert (problem["severity"], problem["path"]) == ("warning", ["model"])


def test_a_run_that_exists_is_opened_though_its_model_is_gone(spec: Path) -> None:
    installed = registry.load()
    assert validate.load_again(SPEC, spec, installed).spec.costs.prices == ("house.yaml",)


REQUEST = Request(model=ModelRef(id="some-model"), hyperparameters={"epochs": 3})


def test_tuning_costs_tokens_times_epochs_times_price(spec: Path) -> None:
    known = tables.read([spec.with_name("house.yaml")])
    size, told = Size(rows=1, tokens=200_000), Estimate(cost=99.0)
    part = costs.tuning_part(known, "simulated", REQUEST, size, told, name="tuning")
    assert (part.amount, part.currency, part.as_of) == (6.0, "EUR", "2026-11-01")
    theirs = costs.tuning_part(tables.read(), "simulated", REQUEST, size, told, name="tuning")
    assert theirs.amount == 99.0
    by_name = Request(model=ModelRef(id="gpt-4.1-mini"), hyperparameters={"epochs": 2})
    ours = costs.tuning_part(tables.read(), OPENAI, by_name, size, Estimate(), name="tuning")
    assert ours.amount == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("model", "hyperparameters", "tokens", "why"),
    [
        ("gpt-4.1-mini", {"epochs": 3}, None, "tokens not known before"),
        ("gpt-4.1-mini", {"epochs": "auto"}, 1000, "epochs not known before"),
        ("gpt-9", {"epochs": 3}, 1000, "no price is known of tuning 'gpt-9' by sft"),
    ],
)
def test_what_is_not_known_is_not_zero(
    model: str, hyperparameters: dict[str, object], tokens: int | None, why: str
) -> None:
    request = Request(model=ModelRef(id=model), hyperparameters=hyperparameters)
    part = costs.tuning_part(tables.read(), OPENAI, request, Size(tokens=tokens), Estimate(), name="tuning")
    assert (part.amount, part.basis) == (None, why)
    assert costs.Costs(parts=(part, costs.Part(name="x", amount=1.0, currency="USD"))).total is None


def test_bytes_bound_tokens_where_nobody_counts_them() -> None:
    request = Request(model=ModelRef(id="gpt-4.1-mini"), hyperparameters={"epochs": 2})
    part = costs.tuning_part(tables.read(), OPENAI, request, Size(bytes=100_000), Estimate(), name="tuning")
    assert (part.amount, part.bound) == (pytest.approx(1.0), True)


def price(**known: Any) -> tables.Price:
    day = datetime.date(2026, 1, 1)
    return tables.Price(models=("*",), endpoints=("*",), currency="USD", source="x", as_of=day, **known)


def test_hours_are_billed_where_a_table_says_so() -> None:
    by_hour = price(tuning_hour=100.0)
    assert costs.training(by_hour, None, None, 1800.0) == 50.0
    assert costs.training(by_hour, 10**6, 3, None) is None
    assert costs.training(price(), 10**6, 3, 1800.0) is None
    assert costs.training(None, 10**6, 3, 1800.0) is None


def test_what_is_free_costs_nothing_however_long() -> None:
    assert costs.training(price(tuning=0.0), None, None, None) == 0.0
    assert costs.training(price(tuning=1.0), 10**6, 3, None) == 3.0


def part(name: str, amount: float | None, currency: str = "USD", **more: Any) -> costs.Part:
    return costs.Part(name=name, amount=amount, currency=currency, **more)


def test_a_run_costs_the_sum_of_its_parts() -> None:
    whole = costs.Costs(parts=(part("a", 1.0), part("b", 2.5), part("free", 0.0, "")))
    assert (whole.total, whole.currency, whole.unknown) == (3.5, "USD", ())
    assert costs.Costs(parts=(part("free", 0.0, ""),)).total == 0.0
    unknown = part("c", None)
    assert (costs.Costs(parts=(part("a", 1.0), unknown)).total, costs.Costs(parts=(unknown,)).unknown) == (
        None,
        (unknown,),
    )


def test_amounts_of_two_currencies_are_never_added() -> None:
    both = costs.Costs(parts=(part("a", 1.0, "USD"), part("b", 1.0, "EUR")))
    assert (both.total, both.currency) == (None, "")


def test_only_what_costs_something_rests_on_its_price() -> None:
    parts = (part("a", 1.0, verified=False), part("b", 0.0, verified=False), part("c", None, verified=False))
    assert costs.Costs(parts=(*parts, part("d", 1.0))).unverified == parts[:1]


def test_parts_of_one_price_are_told_as_one() -> None:
    some = [part("a", 0.0, "", basis="kept"), part("a", 1.0, basis="one", bound=True), part("a", 2.0, basis="two")]
    told = costs.together(some)
    assert (told.amount, told.currency, told.bound, told.basis) == (3.0, "USD", True, "one, and two")
    assert costs.together(some[:1]) == some[0]
    assert costs.together([*some, part("a", None)]).amount is None


def test_asking_costs_at_the_most_what_the_longest_answers_would() -> None:
    rate = tables.Rate(prompt=1.0, completion=10.0)
    asked = costs.answers_part("base answers", price(), rate, 1000, 500_000, 100, kept=7)
    assert (asked.amount, asked.bound, asked.currency) == (0.5 + 1.0, True, "USD")
    assert asked.basis == "1,000 answers (7 more are kept) of 100 tokens, 1 and 10 a million"
    free = tables.Rate(prompt=0.0, completion=0.0)
    assert costs.answers_part("base answers", price(), free, 1000, None, 100).amount == 0.0
    uncounted = costs.answers_part("base answers", price(), rate, 1000, None, 100)
    assert (uncounted.amount, uncounted.basis) == (None, "the prompts have not been counted")
    assert costs.answers_part("base answers", None, rate, 1, 1, 1).amount is None
    assert costs.answers_part("base answers", price(), None, 1, 1, 1).amount is None


def test_a_deployment_costs_while_it_stands() -> None:
    hosted = costs.hosting_part("deployment", price(hosting_hour=4.0), 1800.0, "as last time")
    assert (hosted.amount, hosted.basis) == (2.0, "4 an hour, as last time")
    for unknown in (None, price()):
        assert costs.hosting_part("deployment", unknown, 1800.0, "").amount is None


def test_a_judge_is_told_from_a_model_under_test_by_its_part() -> None:
    for model in ("gpt-9", "panel answers"):
        assert costs.is_judging(costs.judge_name(model))
    assert not costs.is_judging("judge panel answers"), "those of a model that is called so"
    assert not costs.is_judging("tuning")


def test_an_answer_costs_what_was_counted() -> None:
    rate = tables.Rate(prompt=2.0, completion=8.0)
    counted = Answer(prompt="p", repeat=0, prompt_tokens=500_000, completion_tokens=250_000)
    assert costs.of_answer(rate, counted) == 3.0
    assert costs.of_answer(rate, Answer(prompt="p", repeat=0)) is None
    assert costs.of_answer(tables.Rate(prompt=0, completion=0), Answer(prompt="p", repeat=0)) == 0.0


def test_no_tokenizer_makes_more_of_a_prompt_than_its_bytes() -> None:
    text = "größer 漢字 🙂 " * 20
    prompt = Prompt(id="p", messages=[Message(role="user", content=text)])
    assert costs.most_tokens(prompt) >= len(text.encode())
    call = [{"function": {"name": "look_up", "arguments": "{}"}}]
    parts = [{"type": "text", "text": text}]
    for more in (
        msgspec.structs.replace(prompt, tools=call),
        msgspec.structs.replace(prompt, messages=[*prompt.messages, Message(role="assistant", tool_calls=call)]),
        msgspec.structs.replace(prompt, messages=[Message(role="user", content=parts)]),
        msgspec.structs.replace(prompt, messages=[*prompt.messages, Message(role="assistant")]),
    ):
        assert costs.most_tokens(more) > costs.most_tokens(prompt)


def test_serving_compares_by_what_was_counted() -> None:
    rate = tables.Rate(prompt=2.0, completion=8.0)
    answers = [Answer(prompt="p", repeat=n, prompt_tokens=100 + n, completion_tokens=10) for n in range(3)]
    served = costs.serving("tuned", "m", None, rate, answers, None)
    assert (served.prompt_tokens, served.thousand) == (101.0, pytest.approx(0.282))
    failed = Answer(prompt="q", repeat=0, error="no")
    paid = costs.serving("tuned", "m", price(verified=False), rate, [*answers, failed], price(hosting_hour=4.0))
    assert (paid.thousand, paid.hosting_hour, paid.currency, paid.verified) == (served.thousand, 4.0, "USD", False)
    assert costs.serving("tuned", "m", None, None, answers, None).basis == "no price is known"
    assert costs.serving("tuned", "m", None, rate, [], None).thousand is None
    blind = costs.serving("tuned", "m", None, rate, [*answers, Answer(prompt="q", repeat=0)], None)
    assert (blind.thousand, blind.basis) == (None, "the provider does not count tokens")


def test_a_table_among_specs_is_checked_as_one(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`ftspec validate specs/*.yaml`, where a table lies beside the specs that name it."""
    table = spec.with_name("house.yaml")
    assert guard.run(["validate", str(spec), str(table)]) == 0
    assert capsys.readouterr().out.endswith(f"{table} is a valid table of prices\n")
    table.write_text(TABLE.replace("tuning: 10", "tuning: ten"))
    assert guard.run(["validate", "--format", "github", str(table)]) == 1
    said = capsys.readouterr().out
    assert f"::error file={table},line=7" in said and "'version' is missing" not in said


@pytest.mark.parametrize("error", [RuntimeError("Could not determine home directory."), PermissionError(13, "denied")])
def test_who_has_no_home_has_no_tables(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user may have none, or one that is not to be looked into."""

    def away() -> Path:
        raise error

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", away)
    assert tables.configured() == []
