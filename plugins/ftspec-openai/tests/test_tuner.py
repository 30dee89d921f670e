"""The tuner as core drives it, where a server does what aimock cannot: parts, waiting, order, endings, refusals."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ftspec_openai
import msgspec
import pytest
from described import MOMENT, STEPS, Described, Refusal
from ftspec_openai import calls, events, faults, files, jobs, models, presets, tokens
from ftspec_openai.graders import Multi, StringCheck

from ftspec import api, rows

KEYS = ("a" * 64, "b" * 64)


@pytest.fixture
def tuner(server: Described) -> Any:
    return ftspec_openai.openai.build({"base_url": server.url})


def a_file(folder: Path, size: int = 40, count: int = 12, purpose: Any = "training") -> api.DataFile:
    path = folder / f"{purpose}-{size}.jsonl"
    path.write_bytes(os.urandom(size))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return api.DataFile(purpose=purpose, path=str(path), sha256=digest, bytes=size, rows=count)


def a_request(tuner: Any, folder: Path, **changes: Any) -> api.Request:
    request = api.Request(model=api.ModelRef(id="gpt-4.1-mini"), hyperparameters={"epochs": 2})
    return msgspec.structs.replace(request, training=tuner.upload(a_file(folder)), **changes)


def to_the_end(tuner: Any, job: api.Job) -> tuple[api.JobUpdate, list[api.TrainingEvent]]:
    cursor, told = None, []
    for _ in range(20):
        update = tuner.poll(job, cursor=cursor)
        cursor, told = update.cursor, [*told, *update.events]
        if update.state.terminal and (update.model or update.state is not api.JobState.SUCCEEDED):
            return update, told
    raise AssertionError("the job does not end")


# ---- files


def test_a_large_file_goes_in_parts_and_is_found_again(
    server: Described, tuner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PART", 1000)
    tuner.files.preset = msgspec.structs.replace(presets.OPENAI, uploads_above=2000)
    file = a_file(tmp_path, size=3500)
    held = tuner.upload(file)
    assert server.contents[held.id] == Path(file.path).read_bytes()
    assert [len(part) for upload in server.uploads.values() for part in upload["parts"].values()] == [1000] * 3 + [500]
    assert tuner.upload(file) == held
    assert len(server.files) == 1


def test_a_file_is_waited_for_until_it_has_been_processed(server: Described, tuner: Any, tmp_path: Path) -> None:
    server.waits = 1
    file = a_file(tmp_path)
    held = tuner.upload(file)
    assert held.waiting == "uploaded"
    server.files[held.id]["status"] = "processed"
    assert tuner.upload(file) == msgspec.structs.replace(held, waiting="")


def test_a_file_that_turns_out_to_be_bad_is_told_and_not_sent_again(
    server: Described, tuner: Any, tmp_path: Path
) -> None:
    server.waits = 1
    file = a_file(tmp_path)
    held = tuner.upload(file)
    server.files[held.id] |= {"status": "error", "status_details": "line 3 has no messages"}
    with pytest.raises(api.Rejected, match="could not process the file file-1: line 3 has no messages"):
        tuner.upload(file)
    assert len(server.files) == 1


@pytest.mark.parametrize(
    "spoiled", [{"expires_at": int(time.time()) + 60}, {"status": "error"}, {"bytes": 1}, {"filename": "other.jsonl"}]
)
def test_a_file_that_cannot_be_used_is_not_found(
    server: Described, tuner: Any, tmp_path: Path, spoiled: dict[str, Any]
) -> None:
    file = a_file(tmp_path)
    first = tuner.upload(file)
    server.files[first.id] |= spoiled
    assert tuner.upload(file).id != first.id


def test_too_few_rows_are_refused_before_they_are_sent(server: Described, tuner: Any, tmp_path: Path) -> None:
    with pytest.raises(api.Rejected, match="at least 10"):
        tuner.upload(a_file(tmp_path, count=9))
    assert tuner.upload(a_file(tmp_path, count=2, purpose="validation")).id
    assert len(server.files) == 1


# ---- jobs


def test_a_job_is_found_by_its_key_on_any_page(server: Described, tuner: Any, tmp_path: Path) -> None:
    server.page = 2
    request = a_request(tuner, tmp_path)
    made = [tuner.submit(request, key=KEYS[n % 2]) for n in range(6)]
    tuner.jobs.preset = msgspec.structs.replace(presets.OPENAI, filters=False)
    assert [job.id for job in tuner.find(request, key=KEYS[0])] == [made[n].id for n in (0, 2, 4)]
    assert tuner.find(request, key="c" * 64) == []


def test_what_is_left_to_the_service_is_not_sent(server: Described, tuner: Any, tmp_path: Path) -> None:
    options = {"epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto", "seed": None}
    tuner.submit(a_request(tuner, tmp_path, hyperparameters=options), key=KEYS[0])
    assert server.made[0]["method"] == {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}
    assert "seed" not in server.made[0]


@pytest.mark.parametrize("order", ["newest", "oldest", "mixed"])
def test_events_come_once_in_whatever_order_they_are_listed(
    server: Described, tuner: Any, tmp_path: Path, order: str
) -> None:
    server.order, server.page = order, 3
    _, told = to_the_end(tuner, tuner.submit(a_request(tuner, tmp_path), key=KEYS[0]))
    assert sorted(event.step for event in told if event.step) == list(range(1, STEPS + 1))
    assert len({event.id for event in told}) == len(told) == STEPS + 1
    assert told[-1].metrics["train_accuracy"] == STEPS / 10
    assert told[-1].metrics["validation_loss"] == 4 / STEPS
    assert told[-1].total_steps == STEPS


def test_events_that_cannot_be_read_keep_no_state_from_us(
    server: Described, tuner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise Refusal(500, "server_error", "no log today")

    job = tuner.submit(a_request(tuner, tmp_path), key=KEYS[0])
    monkeypatch.setattr(server, "events", down)
    states, raised, told = [], 0, []
    for _ in range(20):
        try:
            update = tuner.poll(job, cursor=None)
        except api.Ambiguous:
            raised += 1
            continue
        states.append(update.state)
        told = [event.message for event in update.events if event.level == "warning"]
        if update.state.terminal:
            break
    assert states[0] is not states[-1] is api.JobState.SUCCEEDED
    assert raised == 2, "only once the job has ended: what it told last may come yet"
    assert len(told) == 1 and told[0].startswith("the job's events cannot be read: ")


@pytest.mark.parametrize("tells", ["results", "base64"])
def test_metrics_come_from_result_files_where_events_tell_none(
    server: Described, tuner: Any, tmp_path: Path, tells: str
) -> None:
    server.tells = tells
    _, told = to_the_end(tuner, tuner.submit(a_request(tuner, tmp_path), key=KEYS[0]))
    losses = {event.step: event.metrics["train_loss"] for event in told if event.metrics}
    assert losses == {step: pytest.approx(3 / step, abs=1e-4) for step in range(1, STEPS + 1)}


def test_checkpoints_come_by_step_with_their_models(server: Described, tuner: Any, tmp_path: Path) -> None:
    server.page = 2
    job = tuner.submit(a_request(tuner, tmp_path), key=KEYS[0])
    update, _ = to_the_end(tuner, job)
    assert [checkpoint.step for checkpoint in update.checkpoints] == [2, 4, 6]
    assert update.checkpoints[0].model.id.endswith("ckpt-step-2")
    assert update.checkpoints[0].metrics == {"train_loss": 1.5, "validation_loss": 2.0}
    assert update.trained_tokens == 1234


def test_a_model_that_is_named_later_is_waited_for(server: Described, tuner: Any, tmp_path: Path) -> None:
    server.unnamed = 1
    job = tuner.submit(a_request(tuner, tmp_path), key=KEYS[0])
    for _ in range(3):
        update = tuner.poll(job, cursor=None)
    assert (update.state, update.model) == (api.JobState.SUCCEEDED, None)
    assert to_the_end(tuner, job)[0].model


ENDS = [
    ("invalid_training_file", "The job failed due to a special token <|endoftext|> in line 6174", "control tokens"),
    ("moderation", "This training file was blocked: unsafe content", "moderation"),
    ("server_error", "An internal error occurred", "--again tuning"),
    ("exceeded_quota", "Fine-tuning job exceeded your quota", "billing"),
    ("invalid_training_file", "Line 3 is not valid JSON", "mend the rows"),
]


@pytest.mark.parametrize(("code", "text", "hint"), ENDS)
def test_a_job_that_failed_says_what_to_do(
    server: Described, tuner: Any, tmp_path: Path, code: str, text: str, hint: str
) -> None:
    server.ending, server.error = "failed", (code, text)
    update, _ = to_the_end(tuner, tuner.submit(a_request(tuner, tmp_path), key=KEYS[0]))
    assert update.state is api.JobState.FAILED
    assert update.error == f"{code}: {text}"
    assert hint in update.hint


def test_pause_resume_and_cancel_can_be_asked_for_twice(server: Described, tuner: Any, tmp_path: Path) -> None:
    job = tuner.submit(a_request(tuner, tmp_path), key=KEYS[0])
    while tuner.poll(job, cursor=None).state is not api.JobState.RUNNING:
        pass
    for change, state in ((tuner.pause, "paused"), (tuner.cancel, "cancelled")):
        change(job)
        change(job)
        assert server.jobs[job.id]["status"] == state
    assert tuner.poll(job, cursor=None).state is api.JobState.CANCELLED
    server.jobs[job.id]["status"] = "paused"
    tuner.resume(job)
    assert server.jobs[job.id]["status"] == "running"


def test_an_unknown_state_is_no_end(server: Described, tuner: Any, tmp_path: Path) -> None:
    job = tuner.submit(a_request(tuner, tmp_path), key=KEYS[0])
    server.jobs[job.id]["status"] = "contemplating"
    update = tuner.poll(job, cursor=None)
    assert (update.state, update.raw) == (api.JobState.UNKNOWN, "contemplating")


def test_a_moment_may_be_text(tuner: Any) -> None:
    """As at servers of this shape that others wrote: a job was made there, and has to be found again."""
    said = SimpleNamespace(id="x", created_at="2026-01-02T03:04:05Z", metadata={jobs.KEY: "k"})
    tuner.jobs.all = lambda key: [said]
    (found,) = tuner.find(api.Request(model=api.ModelRef(id="m")), key="k")
    assert (found.id, found.created_at) == ("x", 1767323045.0)
    assert events.event_of(said).at == 1767323045.0
    assert calls.made_at(SimpleNamespace(created_at=5)) == 5.0 and calls.made_at(SimpleNamespace()) == 0.0
    assert calls.made_at(SimpleNamespace(created_at=5, finished_at=6), "finished_at") == 6.0


@pytest.mark.parametrize("said", [{"status": 3}, {"status": None}, {"id": 7}])
def test_what_is_of_another_type_cannot_be_read(server: Described, tuner: Any, tmp_path: Path, said: Any) -> None:
    job = tuner.submit(a_request(tuner, tmp_path), key=KEYS[0])
    server.jobs[job.id].update(said)
    with pytest.raises(api.Ambiguous, match="cannot be read"):
        tuner.poll(job, cursor=None)


def test_json_that_is_too_deep_cannot_be_read() -> None:
    with pytest.raises(api.Ambiguous, match="cannot be read"):
        calls.decoded(b"[" * 100_000, "look")
    with pytest.raises(api.Ambiguous, match="cannot be read"), calls.calling("look"):
        json.loads("[" * 100_000)


def test_an_unknown_job_is_refused(tuner: Any) -> None:
    with pytest.raises(api.Rejected):
        tuner.poll(api.Job(id="ftjob-none"), cursor=None)


def test_what_lies_there_can_be_deleted_twice(server: Described, tuner: Any, tmp_path: Path) -> None:
    to_the_end(tuner, tuner.submit(a_request(tuner, tmp_path), key=KEYS[0]))
    server.files["file-others"] = {"id": "file-others", "object": "file", "filename": "x", "purpose": "fine-tune"}
    listed = list(tuner.remote_objects())
    assert {one.kind for one in listed} == {"file", "model"}
    for one in (*listed, *listed):
        tuner.delete(one)
    assert list(server.files) == ["file-others"]
    assert len(server.gone) == 1


# ---- other presets


def test_nebius_takes_the_rate_itself_and_its_own_words(server: Described, tmp_path: Path) -> None:
    tuner = ftspec_openai.nebius.build({"base_url": server.url})
    wanted = {"epochs": 2, "learning_rate": 1e-4, "lora": {"rank": 16, "alpha": 32, "dropout": 0.1}, "packing": False}
    request = a_request(tuner, tmp_path, hyperparameters=wanted)
    job = tuner.submit(request, key=KEYS[0])
    assert server.made[0]["method"]["supervised"]["hyperparameters"] == {
        "n_epochs": 2, "learning_rate": 1e-4, "lora": True, "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.1,
        "packing": False,
    }  # fmt: skip
    assert "metadata" not in server.made[0]
    assert [found.id for found in tuner.find(request, key=KEYS[0])] == [job.id]
    assert tuner.find(request, key=KEYS[1]) == []
    model = to_the_end(tuner, job)[0].model
    assert model
    assert model.id == f"{job.id}:ftckpt-{job.id}-{STEPS}"


def test_nebius_deploys_a_checkpoint_by_its_id_and_no_other_name(server: Described, tmp_path: Path) -> None:
    server.page = 1
    tuner = ftspec_openai.nebius.build({"base_url": server.url})
    request = a_request(tuner, tmp_path, hyperparameters={"epochs": 2})
    models = []
    for key in KEYS:
        update, _ = to_the_end(tuner, tuner.submit(request, key=key))
        models.append(update.checkpoints[0].model)
        tuner.deploy(models[-1], key=key)
    assert [held["source"] for held in server.models.values()] == [model.id for model in models]
    server.paged = True
    for key, model in zip(KEYS, models, strict=True):
        found = tuner.find_deployment(key=key)
        assert found
        assert found.model.id == model.id
        assert found.created_at > 0
    named = msgspec.structs.replace(models[0], id=server.checkpoint(models[0].id)["fine_tuned_model_checkpoint"])
    with pytest.raises(api.Rejected, match="no such checkpoint"):
        tuner.deploy(named, key="c" * 64)


def test_azure_says_how_it_trains_and_that_nobody_can_ask(server: Described, tmp_path: Path) -> None:
    tuner = ftspec_openai.azure.build({"base_url": server.url, "training_type": "GlobalStandard"})
    tuner.submit(request := a_request(tuner, tmp_path), key=KEYS[0])
    assert server.made[0]["trainingType"] == "GlobalStandard"
    assert [problem.severity for problem in tuner.problems(request)] == ["warning"]
    with pytest.raises(api.Rejected, match="not deployed"):
        tuner.deploy(api.TunedModel(id="ft", base=request.model), key=KEYS[0])


def test_mantle_sends_a_function_and_nothing_that_it_does_not_know(server: Described, tmp_path: Path) -> None:
    tuner = ftspec_openai.bedrock_mantle.build({"base_url": server.url})
    options = {"function": "arn:aws:lambda:us-west-2:123456789012:function:reward"}
    training = tuner.upload(a_file(tmp_path, count=100))
    request = api.Request(
        model=api.ModelRef(id="openai.gpt-oss-20b"), method="reinforcement", method_options=options, training=training
    )
    tuner.submit(request, key=KEYS[0])
    grader = server.made[0]["method"]["reinforcement"]["grader"]
    assert grader == {"type": "lambda", "lambda": {"function": options["function"]}}
    assert not {"suffix", "metadata"} & set(server.made[0])
    assert tuner.submission == "blind"


def test_a_multi_grader_is_sent_by_name(server: Described, tuner: Any, tmp_path: Path) -> None:
    one = StringCheck(input="{{ sample.output_text }}", reference="{{ item.expected }}")
    options = {"grader": msgspec.to_builtins(Multi(graders={"exact": one}, calculate_output="exact"))}
    tuner.submit(a_request(tuner, tmp_path, method="reinforcement", method_options=options), key=KEYS[0])
    assert server.made[0]["method"]["reinforcement"]["grader"]["graders"]["exact"]["type"] == "string_check"


# ---- refusals


SAID: list[tuple[int, Any, type[api.ProviderError], str]] = [
    (429, {"code": "daily_rate_limit_exceeded", "message": "8 jobs per day"}, api.Rejected, "tomorrow"),
    (429, {"code": None, "message": "exceeded the daily rate limit for fine-tunes"}, api.Rejected, "tomorrow"),
    (429, {"code": "insufficient_quota", "message": "You exceeded your current quota"}, api.Rejected, "billing"),
    (429, {"code": "rate_limit_exceeded", "message": "Rate limit reached"}, api.Transient, "slow down"),
    (429, None, api.Transient, "slow down"),
    (403, {"code": "training_not_available", "message": "no"}, api.Rejected, "ftspec port"),
    (403, {"code": "x", "message": "no"}, api.Rejected, "permissions"),
    (
        401,
        {"code": "invalid_api_key", "message": "Incorrect API key provided: sk-1***9"},
        api.Unauthorized,
        "environment",
    ),
    (400, {"code": None, "message": "File 'file-1' is still being processed and is not ready"}, api.Transient, "file"),
    (400, {"code": "model_not_available", "message": "no"}, api.Rejected, "`model`"),
    (400, {"code": "invalid_training_file", "message": "no"}, api.Rejected, "mend the rows"),
    (400, {"code": "moderation_blocked", "message": "no"}, api.Rejected, "moderation endpoint"),
    (404, "<html>", api.Rejected, "base_url"),  # a gateway's: of what is there, it knows nothing
    (408, None, api.Ambiguous, ""),
    (409, None, api.Ambiguous, ""),
    (500, {"code": "daily_rate_limit_exceeded", "message": "?"}, api.Ambiguous, ""),
    (503, "busy", api.Ambiguous, ""),
]


@pytest.mark.parametrize(("status", "body", "kind", "hint"), SAID)
def test_each_refusal_is_told_apart(status: int, body: Any, kind: type[api.ProviderError], hint: str) -> None:
    error = faults.of_status("make the job", status, body, wait=3.0)
    assert type(error) is kind
    assert hint in error.hint
    assert "sk-1" not in error.message
    if isinstance(error, api.Transient):
        assert error.retry_after == 3.0


@pytest.mark.parametrize("raw", sorted(jobs.STATES))
def test_states_are_known_whatever_their_case(raw: str) -> None:
    assert jobs.state_of(raw.upper()) is jobs.STATES[raw]


# ---- chat


def asked(tuner: Any, prompt: api.Prompt | None = None, **generation: Any) -> api.Answer:
    question = api.Question(prompt=prompt or a_prompt(), repeat=1, seed=2**40)

    async def one() -> api.Answer:
        with tuner.serve(api.ModelRef(id=generation.pop("model", "gpt-4.1-mini"))) as model:
            try:
                answer: api.Answer = await model.ask(question, api.Generation(**generation))
                return answer
            finally:
                await model.close()

    return asyncio.run(one())


def a_prompt() -> api.Prompt:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    return api.Prompt(id="p", messages=[api.Message(role="user", content="what?")], tools=tools)


def test_an_answer_has_its_tokens_seconds_and_reason(server: Described, tuner: Any) -> None:
    answer = asked(tuner, temperature=0.5, max_tokens=9, stop=("x",))
    assert (answer.text, answer.finish_reason, answer.prompt_tokens, answer.completion_tokens) == ("red", "stop", 11, 3)
    assert answer.seconds is not None
    assert (answer.prompt, answer.repeat) == ("p", 1)
    sent = server.asked[0]
    assert (sent["temperature"], sent["max_completion_tokens"], sent["stop"]) == (0.5, 9, ["x"])
    assert 0 <= sent["seed"] < 2**31
    assert sent["tools"][0]["function"]["name"] == "look"


def test_a_model_that_reasons_is_not_told_how_to_sample(server: Described, tuner: Any) -> None:
    asked(tuner, model="o4-mini", temperature=0.5)
    assert not {"temperature", "top_p", "stop"} & set(server.asked[0])


def test_tool_calls_refusals_and_filters(server: Described, tuner: Any) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    server.says, server.finish = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    assert asked(tuner).tool_calls == [call]
    server.says = {"role": "assistant", "content": None, "refusal": "I cannot"}
    assert (asked(tuner).text, asked(tuner).finish_reason) == ("I cannot", "refusal")
    server.says = (400, "content_filter", "The response was filtered")
    assert (asked(tuner).finish_reason, asked(tuner).error) == ("content_filter", "")
    server.says = (429, "rate_limit_exceeded", "Rate limit reached")
    with pytest.raises(api.Transient):
        asked(tuner)
    server.says = (500, "server_error", "?")
    with pytest.raises(api.Ambiguous):
        asked(tuner)


# ---- rows


def written(tuner: Any, values: list[dict[str, Any]]) -> list[Any]:
    out = io.BytesIO()
    request = api.Request(model=api.ModelRef(id="gpt-4.1-mini"))
    batch = rows.from_dicts([{**value, "_row": number} for number, value in enumerate(values, 1)])
    tuner.write(request, [batch], out)
    return [msgspec.json.decode(line) for line in out.getvalue().splitlines()]


def talk(answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer, **more}]}


def test_weights_are_whole_numbers(tuner: Any) -> None:
    [line] = written(tuner, [{"messages": [*talk("a", weight=0)["messages"], *talk("b", weight=1.0)["messages"]]}])
    assert [message.get("weight") for message in line["messages"]] == [None, 0, None, 1]
    assert all(isinstance(message.get("weight", 0), int) for message in line["messages"])


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (talk("see <|endoftext|> here"), "control token"),
        (talk("a", weight=0), "nothing in this row is trained on"),
        (talk("a", weight=0.5), "weight of 0.5"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "no role 'robot'"),
    ],
)
def test_rows_that_the_service_refuses_are_named(tuner: Any, row: dict[str, Any], fault: str) -> None:
    with pytest.raises(api.DataError) as error:
        written(tuner, [talk("fine"), row])
    [finding] = error.value.findings
    assert finding.row == 2
    assert fault in finding.message


def test_a_row_that_would_be_cut_off_is_named() -> None:
    tuner = ftspec_openai.openai.build({})
    with pytest.raises(api.DataError) as error:
        written(tuner, [talk("word " * 70_000)])
    assert "65,536" in error.value.findings[0].message


def test_tokens_are_those_of_the_tokenizer_in_whatever_bundles_and_process(monkeypatch: Any) -> None:
    """The other process counts what this one would, which counts where the other one is gone."""
    said = ["", "two words", "żółć 🦊 漢字", "a\nb" * 50, "w0rd " * 999]
    made = [api.Example(row=1, messages=[api.Message(role="user", content=text)]) for text in said]
    made += [api.Example(row=1, messages=[api.Message(role="assistant", content=text, weight=1)]) for text in said]
    tokenizer = tokens.tokenizer()
    assert tokenizer
    each = [tokenizer.row(example) for example in made]
    for bundle in (1, 100, 1 << 20):
        monkeypatch.setattr(tokens, "BUNDLE", bundle)
        with tokens.totals() as totals:
            assert totals
            for example in made:
                totals.add(example)
            if bundle == 1:
                assert totals._process
                totals._process.kill()
            assert totals.both() == (sum(one for one, _ in each), sum(two for _, two in each))
            assert [totals.one(example) for example in made] == [one for one, _ in each]
            assert all(totals.most(example) >= one for example, (one, _) in zip(made, each, strict=True))


# ---- what is known of models


@pytest.mark.parametrize(
    ("model", "method", "severity"),
    [
        ("gpt-4.1-mini-2025-04-14", "sft", None),
        ("ft:gpt-4o-mini-2024-07-18:org:name:id", "sft", None),
        ("o4-mini-2025-04-16", "sft", "warning"),
        ("gpt-4.1", "reinforcement", "warning"),
        ("gpt-9", "sft", "warning"),
    ],
)
def test_a_model_that_is_not_known_to_be_tuned_so_is_a_warning(model: str, method: str, severity: str | None) -> None:
    request = api.Request(model=api.ModelRef(id=model), method=method)
    problems = list(ftspec_openai.openai.build({}).problems(request))
    assert [problem.severity for problem in problems] == ([severity] if severity else [])
    assert list(ftspec_openai.openai.build({"base_url": "http://x/v1"}).problems(request)) == []
    assert models.table().as_of
    assert all(known.source for known in models.table().models.values())


def test_an_event_of_the_old_kind_tells_its_loss_in_words() -> None:
    class Entry:
        id, created_at, level, data = "e", MOMENT, "warn", None
        message = "Step 12/90: training loss=0.53"

    event = events.event_of(Entry())
    assert (event.step, event.total_steps, event.metrics, event.level) == (12, 90, {"train_loss": 0.53}, "warning")


def test_the_endpoint_holds_nothing_secret() -> None:
    tuner = ftspec_openai.openai.build({"base_url": "https://user:pass@host/v1/", "project": "p"})
    assert tuner.endpoint == "https://host/v1?project=p"
