"""The provider as core drives it: write, upload, submit, poll, serve, export."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import tiny
from ftspec_local import LocalProvider

from ftspec import api, rows
from ftspec.costs import tables

HYPERPARAMETERS = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-2}


@pytest.fixture
def provider(tmp_path):
    provider = LocalProvider(device="cpu", precision="fp32", threads=1)
    provider.attach(tmp_path / "home")
    return provider


@pytest.fixture
def request_(model_folder):
    return api.Request(model=api.ModelRef(id=str(model_folder)), hyperparameters=HYPERPARAMETERS)


def batch(values):
    return rows.from_dicts([{**value, "_row": number} for number, value in enumerate(values, 1)])


def write(provider, request, values):
    out = io.BytesIO()
    return provider.write(request, [batch(values)], out), out.getvalue()


def uploaded(provider, request, tmp_path, count=12):
    path = tiny.write_rows(tmp_path / "rows.jsonl", count)
    file = api.DataFile(purpose="training", path=str(path), sha256="f" * 64, bytes=path.stat().st_size, rows=count)
    return msgspec.structs.replace(request, training=provider.upload(file))


def followed(provider, job, timeout=120):
    deadline, cursor, events = time.monotonic() + timeout, None, []
    while time.monotonic() < deadline:
        update = provider.poll(job, cursor=cursor)
        cursor = update.cursor
        events += update.events
        if update.state.terminal:
            return update, events
        time.sleep(0.05)
    raise AssertionError("the job does not end")


def test_write_counts_tokens_and_keeps_every_field(provider, request_):
    weighted = tiny.chat("the cat", "sat", weight=0)
    weighted["messages"].append({"role": "assistant", "content": "yes"})
    written, content = write(provider, request_, [tiny.chat("on a mat", "billing"), weighted])
    lines = [json.loads(line) for line in content.splitlines()]
    assert written.rows == 2 and 0 < written.trained_tokens < written.tokens
    assert lines[1]["messages"][2]["weight"] == 0 and "row" not in lines[0]


def test_write_names_every_row_it_refuses(provider, request_):
    values = [tiny.chat("the cat", "sat"), tiny.chat("<|im_start|>", "sat"), tiny.chat("cat " * 3000, "sat")]
    with pytest.raises(api.DataError) as error:
        write(provider, request_, values)
    assert [finding.row for finding in error.value.findings] == [2, 3]
    assert "control token" in error.value.findings[0].message and "max_length" in error.value.findings[1].message


def test_render_shows_what_is_trained(provider, request_):
    example = next(iter(rows.examples(batch([tiny.chat("the cat", "sat")]))))
    tokens = provider.render(request_, example)
    assert "".join(token.text for token in tokens if token.weight) == "sat<|im_end|>"


def test_a_job_from_submit_to_export(provider, request_, tmp_path, model_folder):
    request = uploaded(provider, request_, tmp_path)
    assert provider.find(request, key="k") == []
    job = provider.submit(request, key="k")
    assert provider.submit(request, key="k") == job and provider.find(request, key="k") == [job]
    update, events = followed(provider, job)
    assert update.state is api.JobState.SUCCEEDED, update.error
    assert len({event.id for event in events}) == len(events)
    assert [event.step for event in events if event.id.startswith("train:")] == [1, 2, 3, 4, 5, 6]
    assert provider.submit(request, key="k") == job

    prompt = api.Prompt(id="p", messages=[api.Message(role="user", content="the cat")])
    bad = api.Prompt(id="bad", messages=[api.Message(role="user", content="<|im_end|>")])
    questions = [api.Question(prompt=prompt, repeat=repeat, seed=repeat) for repeat in range(3)]
    with provider.serve(update.model) as model:
        warm = list(model.answer([*questions, api.Question(prompt=bad)], api.Generation(temperature=1.0, max_tokens=5)))
        again = list(model.answer(questions, api.Generation(temperature=1.0, max_tokens=5)))
        greedy = next(iter(model.answer(questions[:1], api.Generation(max_tokens=8))))
    assert {answer.prompt: bool(answer.error) for answer in warm} == {"p": False, "bad": True}
    texts = {answer.repeat: answer.text for answer in warm if not answer.error}
    assert texts == {answer.repeat: answer.text for answer in again} and len(texts) == 3

    for form in provider.exports:
        (tmp_path / form).mkdir()
        provider.export(update.model, form, tmp_path / form)
    assert plain_answer(tmp_path / "merged", None, "the cat") == greedy.text
    assert plain_answer(model_folder, tmp_path / "adapter", "the cat") == greedy.text
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(
        model_folder
    )


def plain_answer(folder: Path, adapter: Path | None, text: str) -> str:
    """What plain transformers (and peft) say, greedily."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**inputs, do_sample=False, max_new_tokens=8)
    return tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_a_worker_that_dies_again_and_again_is_a_failed_job(provider, request_, tmp_path, monkeypatch):
    from ftspec_local.jobs import JobFolder

    request = uploaded(provider, request_, tmp_path)
    monkeypatch.setattr(JobFolder, "start", lambda self: None)
    job = provider.submit(request, key="k")
    with pytest.raises(api.JobFailed, match=r"died 4 times.*worker\.log") as told:
        followed(provider, job)
    assert "same command" in told.value.hint
    assert JobFolder(tmp_path / "home/jobs/k").result() is None  # memory may be there tomorrow


def test_a_folder_that_is_not_here_is_no_end_of_the_job(provider):
    """Another machine that shares the state may be at work on it."""
    with pytest.raises(api.JobFailed, match="not on this machine") as told:
        provider.poll(api.Job(id="gone"), cursor=None)
    assert "--again tuning" in told.value.hint


def test_data_that_is_gone_is_told_before_there_is_a_job(provider, request_, tmp_path):
    request = uploaded(provider, request_, tmp_path)
    for file in (tmp_path / "home/files").iterdir():
        file.unlink()
    with pytest.raises(api.NotFound, match="not there any more"):
        provider.submit(request, key="k")
    assert provider.find(request, key="k") == []


def test_half_a_file_of_an_earlier_upload_is_brought_anew(provider, request_, tmp_path):
    request = uploaded(provider, request_, tmp_path)
    kept = tmp_path / "home/files" / f"{request.training.sha256}.jsonl"
    whole = kept.read_bytes()
    kept.write_bytes(b"")  # what a power cut leaves of a file that was not synced
    uploaded(provider, request_, tmp_path)
    assert kept.read_bytes() == whole


@pytest.mark.parametrize(
    ("model", "message"),
    [("no-such-model", "no model named"), ("/nowhere", "not a model folder")],
)
def test_problems_name_a_model_that_cannot_be_had(provider, model, message):
    found = list(provider.problems(api.Request(model=api.ModelRef(id=model))))
    assert [problem.path for problem in found] == [("model",)] and message in found[0].message


def test_problems_of_hyperparameters_that_the_model_cannot_take(provider, request_):
    given = {"lora": {"layers": 9}, "max_length": 4096, "truncate": True}
    request = msgspec.structs.replace(request_, hyperparameters=given)
    assert [problem.path[-1] for problem in provider.problems(request)] == ["layers", "max_length"]


def test_missing_packages_are_a_problem_with_the_line_that_helps(provider, request_, monkeypatch):
    import ftspec_local.planning as module

    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "torch" else object())
    problem = next(iter(provider.problems(request_)))
    assert "torch" in problem.message and problem.hint == "pip install ./plugins/ftspec-local"


def test_fingerprint_changes_with_the_weights(provider, tmp_path):
    first, second = (tiny.make_model(tmp_path / str(seed), seed) for seed in (1, 2))
    same = tiny.make_model(tmp_path / "same", 1)
    prints = [provider.fingerprint(api.ModelRef(id=str(folder))) for folder in (first, second, same)]
    assert prints[0] != prints[1] and prints[0] == prints[2] and prints[0].startswith("folder-sha256:")


def test_killing_the_runner_ends_the_answering_process(tmp_path, model_folder):
    code = (
        "import time\nfrom pathlib import Path\nfrom ftspec import api\nfrom ftspec_local import LocalProvider\n"
        f"p = LocalProvider(threads=1); p.attach(Path({str(tmp_path)!r}))\n"
        f"with p.serve(api.ModelRef(id={str(model_folder)!r})) as model:\n"
        "    print(model.process.pid, flush=True); time.sleep(60)\n"
    )
    runner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(runner.stdout.readline())
    os.kill(runner.pid, signal.SIGKILL)
    runner.communicate()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(") ")[1][:1]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_checkpoints_can_be_asked_and_a_job_be_ended_early(provider, request_, tmp_path):
    longer = msgspec.structs.replace(
        request_, hyperparameters={**HYPERPARAMETERS, "epochs": 100, "evaluation_steps": 3, "checkpoint_steps": 2}
    )
    asked = uploaded(provider, longer, tmp_path)
    asked = msgspec.structs.replace(asked, validation=asked.training)
    job = provider.submit(asked, key="e" * 64)
    deadline = time.monotonic() + 120
    while not provider.poll(job, cursor=None).checkpoints and time.monotonic() < deadline:
        time.sleep(0.05)
    provider.stop(job)
    update, events = followed(provider, job)
    assert update.state is api.JobState.SUCCEEDED
    assert max(event.step or 0 for event in events) < 300
    *_, checkpoint, last = update.checkpoints
    assert (last.model, last.step) == (update.model, max(event.step or 0 for event in events))
    assert checkpoint.model.id.endswith(f":step-{checkpoint.step}")
    at = {one.step: one for one in update.checkpoints}
    assert set(range(2, last.step, 2)) <= set(at)
    measured = {event.step: event.metrics["validation_loss"] for event in events if "validation_loss" in event.metrics}
    assert {step: one.metrics["validation_loss"] for step, one in at.items() if one.metrics} == {
        step: loss for step, loss in measured.items() if step in at
    }
    question = api.Question(prompt=api.Prompt(id="1", messages=[api.Message(role="user", content="on a mat")]))
    with provider.serve(checkpoint.model) as model:
        (answer,) = model.answer([question], api.Generation(max_tokens=4))
    assert not answer.error


def test_what_counts_tokens_is_in_the_digests_of_the_data() -> None:
    from ftspec_local import local

    from ftspec import installed
    from ftspec.plans import stepkeys

    assert f"tokenizers {installed.version('tokenizers')}" in stepkeys.code_of(local, {})
    assert f"jinja2 {installed.version('jinja2')}" in stepkeys.code_of(local, {})


def test_a_precision_that_is_written_is_in_the_key_of_the_job() -> None:
    auto, cpu = LocalProvider(), LocalProvider(device="cpu", threads=3)
    assert auto.endpoint == cpu.endpoint == "local"  # the keys of who never wrote one
    written = {LocalProvider(precision=precision).endpoint for precision in ("bf16", "fp16", "fp32")}
    assert len(written | {auto.endpoint}) == 4
    prices = tables.read()
    assert all(prices.price("tuning", endpoint, "m").tuning == 0 for endpoint in written)
