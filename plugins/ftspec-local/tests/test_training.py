"""Training: what is left after a kill equals what an uninterrupted run leaves, bit for bit."""

import os
import signal
import subprocess
import sys
import time

import pytest
from ftspec_local.jobs import JobFolder


def finish(folder: JobFolder, timeout: float = 120) -> dict:
    """Start the worker as often as it takes."""
    deadline = time.monotonic() + timeout
    while folder.result() is None and time.monotonic() < deadline:
        folder.start()
        time.sleep(0.05)
    result = folder.result()
    assert result is not None, (folder.path / "worker.log").read_text()
    return result


def worker_of(folder: JobFolder) -> int:
    """The pid of the job's worker, found by who has the lock open."""
    from pathlib import Path

    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"ftspec_local.worker" in arguments and str(folder.path).encode() in arguments:
            return int(process.name)
    raise AssertionError("no worker")


def wait_for(folder: JobFolder, event: str, timeout: float = 300) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if any(e["id"] == event for e in folder.events()) or folder.result():
            return
        time.sleep(0.002)
    raise AssertionError(f"no event {event}: {(folder.path / 'worker.log').read_text()}")


def wait_for_the_end(folder: JobFolder, timeout: float = 60) -> None:
    """A worker whose result is there needs a moment to go."""
    deadline = time.monotonic() + timeout
    while folder.is_running() and time.monotonic() < deadline:
        time.sleep(0.01)


def losses(folder: JobFolder) -> dict[str, dict]:
    """Metrics by event; speed is not part of what must be equal."""
    events = (e for e in folder.events() if e.get("metrics"))
    return {e["id"]: {k: v for k, v in e["metrics"].items() if k != "tokens_per_second"} for e in events}


def weights(folder: JobFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.model.glob("*.safetensors")}


def kept(folder: JobFolder) -> dict[int, bytes]:
    return {step: next(place.glob("*.safetensors")).read_bytes() for step, place in folder.kept().items()}


SETTINGS = {"epochs": 3, "checkpoint_steps": 2, "evaluation_steps": 4, "lora": {"dropout": 0.1, "layers": 2}}
SPEC = """\
version: 1
name: full
sources: [{examples: {rows: [{prompt: a, completion: b}, {prompt: e, completion: f}]}}]
split: {validation: 0.5}
format: {prompt_completion: {}}
provider: local
model: smollm2-135m-instruct
hyperparameters: {lora: false}
follow: {checkpoint: best}
eval:
  prompts: [{examples: {rows: [{prompt: c, completion: d}]}}]
  graders: [exact]
  models: [{checkpoints: best}]
"""
FULL = {"lora": False, "gradient_accumulation": 2, "full_checkpoints": 1}


@pytest.mark.parametrize("hyperparameters", [SETTINGS, {**SETTINGS, **FULL}])
def test_a_killed_job_goes_on_to_the_same_loss_and_weights(make_job, hyperparameters):
    whole = make_job("whole", validation=True, **hyperparameters)
    assert finish(whole)["state"] == "succeeded"

    killed = make_job("killed", validation=True, **hyperparameters)
    for event in ("train:1", "train:5"):
        killed.start()
        wait_for(killed, event)
        if killed.result() is None:
            os.kill(worker_of(killed), signal.SIGKILL)
            while killed.is_running():
                time.sleep(0.01)
    assert finish(killed)["state"] == "succeeded"

    assert losses(killed) == losses(whole)
    assert weights(killed) == weights(whole)
    numbers = [event["number"] for event in killed.events()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert kept(killed) == kept(whole)
    assert kept(whole)
    if not hyperparameters["lora"]:
        assert [len(list(whole.path.glob(name))) for name in ("kept-*", "best-*")] == [1, 1]
        for place in whole.kept().values():
            assert {"model.safetensors", "tokenizer.json", "config.json"} <= {file.name for file in place.iterdir()}


@pytest.mark.parametrize(
    ("count", "found"), [(0, []), (1, [10]), (2, [6, 14]), (3, [4, 10, 16]), (9, [2, 4, 6, 8, 10, 12, 14, 16, 18])]
)
def test_full_models_are_kept_evenly(count, found):
    from ftspec_local.reporter import spread

    assert list(spread(range(2, 20, 2), count)) == found


def test_a_kept_model_says_whether_it_is_an_adapter(tmp_path):
    from ftspec_local.updates import update

    from ftspec import api

    folder = JobFolder(tmp_path / "job")
    folder.create({"request": {"model": {"id": "m"}}})
    for name, file in (("kept-4", "config.json"), ("kept-8", "adapter_config.json")):
        (folder.path / name).mkdir()
        (folder.path / name / file).touch()
    found = update(api.Job(id="job", created_at=0.0), folder, None, [], None).checkpoints
    assert [(one.step, one.model.details["form"]) for one in found] == [(4, "full"), (8, "adapter")]


def test_a_full_fine_tuning_is_asked_for_checkpoints_only_where_it_keeps_some(tmp_path):
    from ftspec import registry
    from ftspec.common.errors import SpecError
    from ftspec.validation import validate

    written = tmp_path / "spec.yaml"
    written.write_text(SPEC)
    with pytest.raises(SpecError) as raised:
        validate.load_spec(written, registry.load())
    assert [problem.path for problem in raised.value.problems] == [
        ("follow", "checkpoint"),
        ("eval", "models", 0, "checkpoints"),
    ]
    assert "full_checkpoints" in raised.value.problems[0].hint
    for enough in ("lora: true", "lora: false, full_checkpoints: 2"):
        written.write_text(SPEC.replace("lora: false", enough))
        validate.load_spec(written, registry.load())


def test_a_half_written_checkpoint_is_not_used(make_job):
    from ftspec_local import checkpoints

    folder = make_job()
    (folder.checkpoints / "checkpoint-2").mkdir(parents=True)
    (folder.checkpoints / "checkpoint-2" / "complete").touch()
    (folder.checkpoints / "checkpoint-4").mkdir()
    assert checkpoints.latest(folder.checkpoints).name == "checkpoint-2"
    assert not (folder.checkpoints / "checkpoint-4").exists()


def test_loss_falls_and_the_adapter_is_pefts(make_job):
    folder = make_job(epochs=6)
    result = finish(folder)
    train = [metrics["train_loss"] for metrics in losses(folder).values()]
    assert result["form"] == "adapter" and train[-1] < train[0] - 0.3
    wait_for_the_end(folder)  # checkpoints go once the result is there
    assert (folder.model / "adapter_config.json").exists() and not folder.checkpoints.exists()


def test_a_second_start_of_the_same_job_does_nothing(make_job):
    folder = make_job(epochs=1)
    folder.start()
    first = worker_of(folder)
    folder.start()
    assert worker_of(folder) == first
    finish(folder)
    wait_for_the_end(folder)
    before = folder.events()
    folder.start()
    assert folder.events() == before and not folder.is_running()


def test_two_workers_on_one_folder_are_one(make_job):
    from ftspec_local import children

    folder = make_job(epochs=1)
    command = children.command("worker", str(folder.path))
    workers = [subprocess.Popen(command, env=children.environment()) for _ in range(2)]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    assert [event["id"] for event in folder.events()].count("starting") == 1


def test_a_worker_gets_no_secret(monkeypatch):
    from ftspec_local import children

    from ftspec import api

    for name in ("HF_TOKEN", "SOME_API_KEY", "REFERRED"):
        monkeypatch.setenv(name, "canary-0123456789")
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:canary-0123456789@index/simple")
    monkeypatch.setenv("HF_HOME", "/models")
    api.resolve("${secret:REFERRED}")
    code = "import os; print([name for name in os.environ if 'canary' in os.environ[name]], os.environ['HF_HOME'])"
    done = subprocess.run([sys.executable, "-c", code], env=children.environment(), capture_output=True, text=True)
    assert done.stdout == "[] /models\n"


def test_cancel_stops_the_worker_and_a_job_that_never_started(make_job):
    folder = make_job(epochs=200)
    folder.start()
    wait_for(folder, "train:2")
    folder.cancel()
    assert finish(folder)["state"] == "cancelled"

    idle = make_job("idle")
    idle.cancel()
    assert idle.result() == {"state": "cancelled"}


def test_a_failure_is_one_sentence_and_the_traceback_is_in_the_log(make_job):
    folder = make_job(max_length=8)
    result = finish(folder)
    assert result["state"] == "failed"
    assert "more than max_length (8)" in result["error"] and "max_length" in result["hint"]
    assert "Traceback" in (folder.path / "worker.log").read_text() and "Traceback" not in result["error"]


def test_the_model_of_the_lowest_validation_loss_is_kept(make_job):
    job = make_job("best", validation=True, epochs=6, evaluation_steps=5, lora={"layers": 2})
    assert finish(job)["state"] == "succeeded"
    told = {e["step"]: e["metrics"]["validation_loss"] for e in job.events() if e["id"].startswith("validation:")}
    best = job.best()
    assert best.validation_loss == pytest.approx(min(told.values()))
    assert told[best.step] == pytest.approx(best.validation_loss)
    assert (best.folder / "adapter_model.safetensors").exists()
    assert len(list(job.path.glob("best-*"))) == 1


def test_a_job_that_is_ended_early_keeps_what_it_has_learned(make_job):
    job = make_job("early", epochs=200, lora={"layers": 2})
    job.start()
    wait_for(job, "train:1")
    job.stop()
    assert finish(job)["state"] == "succeeded"
    assert job.result()["steps"] < 1000
    assert weights(job)
