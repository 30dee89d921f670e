from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec import rows
from ftspec.builtin.simulated import COMPONENTS
from ftspec.builtin.simulated.client import Fault
from ftspec.builtin.simulated.service import files
from ftspec.builtin.simulated.service.state import Refusal
from ftspec.common.errors import Ambiguous, DataError, Rejected, Transient
from ftspec.common.jobs import DataFile, JobState, ModelRef, RemoteFile, Request, Size
from ftspec.common.messages import Generation, Prompt, Question
from ftspec.testing import ProviderSuite

FAST = {"seconds_per_step": 0.0, "idle": 5.0}


class TestSimulated(ProviderSuite):
    component = COMPONENTS["simulated"]
    options = {"seconds_per_step": 0.001, "idle": 10.0}
    hyperparameters = {"epochs": 2}


class TestSimulatedPreference(ProviderSuite):
    component = COMPONENTS["simulated"]
    method = "dpo"
    method_options = {"beta": 0.2}


class TestSimulatedReinforcement(ProviderSuite):
    component = COMPONENTS["simulated"]
    method = "reinforcement"


class TestFindable(TestSimulated):
    options = {**TestSimulated.options, "submission": "findable"}


class TestBlind(TestSimulated):
    options = {**TestSimulated.options, "submission": "blind"}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    """Makes a provider on the test's own service."""
    made = []

    def build(**options: Any) -> Any:
        provider = COMPONENTS["simulated"].build({**FAST, **options})
        provider.attach(tmp_path / "service")
        made.append(provider)
        return provider

    yield build
    for provider in made[:1]:
        kill(provider)


def kill(provider: Any) -> None:
    found = provider.client.server()
    if found:
        os.kill(found["pid"], signal.SIGKILL)
    while found and provider.client.server() == found:
        time.sleep(0.01)


def batch(*rows_: list[dict[str, Any]]) -> Any:
    made = rows.from_dicts([{"messages": messages} for messages in rows_])
    return made.append_column(rows.ROW, rows.integers(range(1, len(rows_) + 1)))


def pair(question: str, answer: str, **more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer, **more}]


def request(**wanted: Any) -> Request:
    hyperparameters = {"epochs": 3, "batch_size": 8, "learning_rate_multiplier": 1.0, "seed": 0, **wanted}
    return Request(model=ModelRef(id="tiny"), hyperparameters=hyperparameters)


def uploaded(provider: Any, folder: Path, count: int = 20, **wanted: Any) -> Request:
    path = folder / f"{count}.jsonl"
    with path.open("wb") as out:
        provider.write(request(), [batch(*(pair(f"q {n}", f"a {n % 3}") for n in range(count)))], out)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    file = DataFile(purpose="training", path=str(path), sha256=sha256, bytes=path.stat().st_size, rows=count)
    return msgspec.structs.replace(request(**wanted), training=provider.upload(file))


def test_steps_follow_from_rows_batch_and_epochs(make: Any, tmp_path: Path) -> None:
    provider = make()
    job = provider.submit(uploaded(provider, tmp_path, count=20), key="k")
    events = provider.poll(job, cursor=None).events
    assert provider.estimate(request(), Size(rows=20)).steps == 9
    assert [event.step for event in events] == [None, *range(1, 10)]
    assert events[-1].metrics["train_loss"] < events[1].metrics["train_loss"] / 2


def test_the_same_job_tells_the_same_story(make: Any, tmp_path: Path) -> None:
    provider = make()
    wanted = uploaded(provider, tmp_path)
    stories = [provider.poll(provider.submit(wanted, key=key), cursor=None).events for key in ("a", "b")]
    assert [event.metrics for event in stories[0]] == [event.metrics for event in stories[1]]


def test_events_come_in_pages(make: Any, tmp_path: Path) -> None:
    provider = make()
    job = provider.submit(uploaded(provider, tmp_path, epochs=50, batch_size=1), key="k")
    first = provider.poll(job, cursor=None)
    second = provider.poll(job, cursor=first.cursor)
    third = provider.poll(job, cursor=second.cursor)
    assert (len(first.events), len(second.events), len(third.events)) == (100, 100, 1)
    assert third.events[-1].step == 1000


@pytest.mark.parametrize(
    ("options", "state", "step"),
    [
        ({"outcome": "failed"}, JobState.FAILED, 9),
        ({"outcome": "failed", "fail_at_step": 4}, JobState.FAILED, 4),
        ({"outcome": "cancelled", "fail_at_step": 2}, JobState.CANCELLED, 2),
    ],
)
def test_it_fails_when_told(make: Any, tmp_path: Path, options: dict[str, Any], state: JobState, step: int) -> None:
    provider = make(**options)
    update = provider.poll(provider.submit(uploaded(provider, tmp_path), key="k"), cursor=None)
    assert (update.state, update.events[-1].step, update.model) == (state, step, None)


def test_failing_early_needs_an_outcome() -> None:
    [rule] = COMPONENTS["simulated"].rules
    options = COMPONENTS["simulated"].convert({"fail_at_step": 3})
    assert [path for path, _ in rule(options)] == [("fail_at_step",)]
    assert list(rule({**options, "outcome": "failed"})) == []


def test_a_slow_job_waits_runs_and_can_be_cancelled(make: Any, tmp_path: Path) -> None:
    provider = make(seconds_per_step=0.4, queue_seconds=1.0)
    job = provider.submit(uploaded(provider, tmp_path), key="k")
    assert provider.poll(job, cursor=None).state is JobState.QUEUED
    while (running := provider.poll(job, cursor=None)).state is JobState.QUEUED:
        time.sleep(0.05)
    assert running.state is JobState.RUNNING
    provider.cancel(job)
    provider.cancel(job)
    cancelled = provider.poll(job, cursor=None)
    time.sleep(0.5)
    assert cancelled.state is JobState.CANCELLED
    assert provider.poll(job, cursor=None).events == cancelled.events


def test_a_killed_service_goes_on_where_it_was(make: Any, tmp_path: Path) -> None:
    provider = make()
    job = provider.submit(uploaded(provider, tmp_path), key="k")
    before = provider.poll(job, cursor=None)
    kill(provider)
    assert provider.poll(job, cursor=None) == before


def test_many_clients_start_one_service(make: Any) -> None:
    providers = [make() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda provider: provider.find(request(), key="k"), providers))
    assert providers[0].client.call("", "GET", "/calls") == {"find": 6}


def test_the_service_leaves_when_nobody_asks(make: Any) -> None:
    provider = make(idle=0.3)
    provider.find(request(), key="k")
    deadline = time.monotonic() + 60
    while provider.client.server():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert provider.find(request(), key="k") == []


@pytest.mark.parametrize("content", [b"", b"\xff{", b"[]", b'{"port"'])
def test_a_damaged_word_of_where_the_service_is_counts_as_none(make: Any, content: bytes) -> None:
    provider = make()
    provider.find(request(), key="k")
    said = provider.client.home / "server.json"
    whole = said.read_bytes()
    said.write_bytes(content)
    assert not provider.client.server()
    said.write_bytes(whole)
    assert provider.client.server()["port"]


def test_others_on_the_machine_are_turned_away(make: Any) -> None:
    from http.client import HTTPConnection

    provider = make()
    provider.find(request(), key="k")
    connection = HTTPConnection("127.0.0.1", provider.client.server()["port"])
    connection.request("GET", "/jobs")
    assert connection.getresponse().status == 401
    assert (provider.client.home / "server.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("refused", Transient),
        ("429", Transient),
        ("reset", Ambiguous),
        ("timeout", Ambiguous),
        ("500", Ambiguous),
        ("broken", Ambiguous),
        ("lost", Ambiguous),
    ],
)
def test_faults_are_told_apart(make: Any, tmp_path: Path, kind: Any, error: type[Exception]) -> None:
    wanted = uploaded(make(), tmp_path)
    provider = make(faults=[{"call": "create", "kind": kind, "times": 1}], timeout=2.0 if kind == "timeout" else 60.0)
    with pytest.raises(error) as caught:
        provider.submit(wanted, key="k")
    acted = kind in {"timeout", "500", "broken", "lost"}
    assert len(provider.find(wanted, key="k")) == acted
    assert getattr(caught.value, "retry_after", None) == (0.05 if kind == "429" else None)
    assert provider.submit(wanted, key="k") == provider.find(wanted, key="k")[0]


def test_an_odd_status_is_unknown_and_not_an_end(make: Any, tmp_path: Path) -> None:
    provider = make(faults=[Fault(call="poll", kind="odd_status"), Fault(call="poll", kind="late_model")])
    job = provider.submit(uploaded(provider, tmp_path), key="k")
    odd, late, last = (provider.poll(job, cursor=None) for _ in range(3))
    assert (odd.state, odd.raw, odd.state.terminal) == (JobState.UNKNOWN, "transmogrifying", False)
    assert (late.state, late.model) == (JobState.SUCCEEDED, None)
    assert last.model is not None


def test_rate_limits_hit_any_call(make: Any) -> None:
    provider = make(rate_limit=2)
    for _ in range(2):
        with pytest.raises(Transient):
            provider.find(request(), key="k")
    assert provider.find(request(), key="k") == []


def test_what_it_cannot_do_is_rejected(make: Any) -> None:
    provider = make()
    lost = msgspec.structs.replace(request(), training=RemoteFile(id="file-none", sha256="0"))
    with pytest.raises(Rejected, match="upload it first"):
        provider.submit(lost, key="k")
    assert provider.find(lost, key="k") == []


def test_rows_are_written_as_hosted_tuners_read_them(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    with path.open("wb") as out:
        written = make().write(request(), [batch(pair("hi there", "hello", weight=0.5))], out)
    line = {
        "messages": [{"role": "user", "content": "hi there"}, {"role": "assistant", "content": "hello", "weight": 0.5}]
    }
    assert [json.loads(text) for text in path.read_text().splitlines()] == [line]
    assert (written.rows, written.tokens, written.trained_tokens) == (1, 5, 1)


def test_rows_without_anything_to_learn_are_named(make: Any, tmp_path: Path) -> None:
    data = batch(pair("q", "a"), [{"role": "user", "content": "q"}], pair("q", "a", weight=0.0))
    with (tmp_path / "rows").open("wb") as out, pytest.raises(DataError) as caught:
        make().write(request(), [data], out)
    assert [finding.row for finding in caught.value.findings] == [2, 3]


@pytest.mark.parametrize(
    ("train_on", "trained"), [("assistant", "one three"), ("last", "three"), ("all", "be zero one two three")]
)
def test_tokens_are_weighted_by_what_is_trained_on(make: Any, train_on: str, trained: str) -> None:
    said = [{"role": "system", "content": "be"}, *pair("zero", "one"), *pair("two", "three")]
    [example] = rows.examples(batch(said))
    wanted = msgspec.structs.replace(request(), method_options={"train_on": train_on})
    tokens = make().render(wanted, example)
    assert " ".join(token.text for token in tokens if token.weight) == trained


LINES = b"".join(json.dumps({"messages": pair(f"word {n} \u00e9", "a b")}).encode() + b"\n" for n in range(50))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 200)), st.booleans())
def test_a_file_is_told_the_same_in_whatever_pieces_it_comes(lengths: list[int], ends: bool) -> None:
    data = LINES if ends else LINES.removesuffix(b"\n")
    upload, start = files.Upload(), 0
    for length in lengths:
        upload.take(data[start : start + length])
        start += length
    upload.take(data[start:])
    known = {"rows": 50, "words": 250, "vocabulary": 54}
    assert upload.told() == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **known}


def test_a_line_that_is_no_row_is_named() -> None:
    upload = files.Upload()
    upload.take(LINES + b'{"messages": 3}\n' + LINES)
    with pytest.raises(Refusal, match="line 51"):
        upload.told()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 200)), st.booleans())
def test_of_a_large_file_the_first_rows_are_looked_into_and_all_are_counted(lengths: list[int], ends: bool) -> None:
    data = LINES + b"no row\n" + (LINES if ends else LINES.removesuffix(b"\n"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "READ", len(LINES))
        upload, start = files.Upload(), 0
        for length in lengths:
            upload.take(data[start : start + length])
            start += length
        upload.take(data[start:])
        told = upload.told()
    assert (told["rows"], told["words"], told["vocabulary"]) == (101, 250, 54)


def ask(provider: Any, model: Any, temperature: float) -> dict[str, list[bool]]:
    """Whether each repeat of each prompt was answered as expected."""
    prompts = [Prompt(id=f"p{n}", messages=[], expected=f"answer {n}") for n in range(400)]
    questions = [Question(prompt=prompt, repeat=repeat, seed=repeat) for prompt in prompts for repeat in range(3)]
    right: dict[str, list[bool]] = {prompt.id: [] for prompt in prompts}
    with provider.serve(model) as up:
        for answer in up.answer(questions, Generation(temperature=temperature)):
            right[answer.prompt].append(answer.text == f"answer {answer.prompt[1:]}")
    return right


def test_models_are_as_right_and_as_consistent_as_told(make: Any, tmp_path: Path) -> None:
    provider = make(accuracy=0.8, base_accuracy=0.2, noise=0.3)
    tuned = provider.poll(provider.submit(uploaded(provider, tmp_path), key="k"), cursor=None).model
    greedy, sampled, base = (
        ask(provider, model, temperature)
        for model, temperature in ((tuned, 0.0), (tuned, 0.7), (ModelRef(id="tiny"), 0.0))
    )
    assert all(len(set(repeats)) == 1 for repeats in greedy.values())
    assert sum(map(sum, greedy.values())) / 1200 == pytest.approx(0.8, abs=0.07)
    assert sum(map(sum, sampled.values())) / 1200 == pytest.approx(0.8, abs=0.07)
    assert 0.05 < sum(len(set(repeats)) > 1 for repeats in sampled.values()) / 400 < 0.4
    assert sum(map(sum, base.values())) / 1200 == pytest.approx(0.2, abs=0.07)
    assert ask(provider, tuned, 0.7) == sampled


def test_answers_are_cut_like_a_models(make: Any) -> None:
    prompt = Prompt(id="p", messages=[], expected="one two three four")
    with make(base_accuracy=1.0).serve(ModelRef(id="tiny")) as model:
        [cut] = model.answer([Question(prompt=prompt)], Generation(max_tokens=2))
        [stopped] = model.answer([Question(prompt=prompt)], Generation(stop=(" three",)))
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == ("one two", "length", 2)
    assert (stopped.text, stopped.finish_reason) == ("one two", "stop")


def test_another_world_is_another_endpoint() -> None:
    build = COMPONENTS["simulated"].build
    assert build({}).endpoint == build({"seconds_per_step": 1.0, "submission": "blind"}).endpoint == "simulated"
    assert build({"accuracy": 0.5}).endpoint != "simulated"


def test_it_is_watermarked(make: Any) -> None:
    assert make().estimate(request(), Size(rows=8)).watermark == "simulated"


def test_it_is_light_to_load() -> None:
    code = (
        "import sys, ftspec.builtin.simulated\n"
        "print(*({'pyarrow', 'http.client', 'obstore', 'subprocess'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr


def test_a_disk_that_takes_nothing_more_is_said_and_not_waited_for(make: Any, tmp_path: Path) -> None:
    provider = make()
    provider.find(request(), key="k")
    for folder in ("files", "jobs"):
        (tmp_path / "service" / folder).rename(tmp_path / folder)
        (tmp_path / "service" / folder).touch()
    (tmp_path / "rows.jsonl").write_text('{"messages": [{"role": "user", "content": "one"}]}\n')
    with pytest.raises(Rejected, match="the system refused: Not a directory"):
        provider.client.call("upload", "POST", "/files", (tmp_path / "rows.jsonl").read_bytes(), purpose="training")
    kill(provider)
    with pytest.raises(Rejected, match="its process ends at once: FileExistsError"):
        provider.find(request(), key="k")
