"""What the machine refuses (space, memory, a device) is told, and is not the end of a job: the next run goes on."""

import json
import os
import resource
from pathlib import Path

import msgspec
import pytest
from ftspec_local import LocalProvider, checkpoints, device
from ftspec_local.jobs import JobFolder, make_durable
from ftspec_local.refusals import refusal
from test_provider import followed, provider, request_, uploaded  # noqa: F401

from ftspec import api

LARGE = {"epochs": 1, "batch_size": 4, "checkpoint_steps": 2, "lora": {"rank": 64}}
"""Its checkpoints take 1.5 MB; the adapter, the log and all the rest less than LIMIT."""
LIMIT = 1_000_000


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device; "),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 3068096 vs 3067988"), "MB free in"),
        (RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"), "MB free in"),
        (Exception("Error while serializing: I/O error: No space left on device (os error 28)"), "MB free in"),
        (MemoryError(), "memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "memory"),
        (PermissionError(13, "Permission denied", "/models/x"), "/models/x"),
        (device.DeviceError("no usable 'cuda' device"), "cuda"),
        (FileNotFoundError(2, "No such file or directory", "rows.jsonl"), None),
        (ValueError("a row of 9 tokens"), None),
    ],
)
def test_what_is_the_machines_and_what_the_jobs(error, said, tmp_path):
    found = refusal(error, tmp_path)
    assert (found is None) if said is None else (said in found.message and found.hint)


def test_a_job_that_found_no_room_goes_on_from_its_checkpoint(provider, request_, tmp_path):  # noqa: F811
    request = uploaded(provider, msgspec.structs.replace(request_, hyperparameters=LARGE), tmp_path, count=24)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        job = provider.submit(request, key="k")
        with pytest.raises(api.JobFailed, match=r"could not be written .* MB free in") as told:
            followed(provider, job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "same command" in told.value.hint
    folder = JobFolder(tmp_path / "home/jobs/k")
    assert folder.result() is None
    assert list(folder.checkpoints.glob("checkpoint-*")) == []  # half of one takes room, and is of no use
    update, events = followed(provider, job)
    assert update.state is api.JobState.SUCCEEDED, update.error
    assert [event.step for event in events if event.id.startswith("train:")][-6:] == [1, 2, 3, 4, 5, 6]


@pytest.fixture
def halted(provider, request_, tmp_path, monkeypatch):  # noqa: F811
    """A job whose worker was refused something; no other is started."""
    monkeypatch.setattr(JobFolder, "start", lambda self: None)
    job = provider.submit(uploaded(provider, request_, tmp_path), key="k")
    JobFolder(tmp_path / "home/jobs/k").halt("no room", "make some")
    return job


def test_what_was_refused_is_told_once_to_who_was_there(provider, halted):  # noqa: F811
    with pytest.raises(api.JobFailed, match="has stopped: no room") as told:
        provider.poll(halted, cursor=None)
    assert told.value.hint.startswith("make some, then run the same command again")
    assert provider.poll(halted, cursor=None).state is api.JobState.RUNNING


def test_what_was_refused_before_we_came_may_be_mended(halted, tmp_path):
    later = LocalProvider()
    later.attach(tmp_path / "home")
    assert later.poll(halted, cursor=None).state is api.JobState.RUNNING


def test_who_only_looks_starts_nothing(halted, tmp_path, monkeypatch):
    monkeypatch.setattr(JobFolder, "start", lambda self: pytest.fail("a worker was started"))
    later = LocalProvider()
    later.attach(tmp_path / "home")
    for _ in range(2):  # nor does it use up what there is to be told
        seen = later.look(halted)
        assert (seen.state, seen.error) == (api.JobState.PAUSED, "no room") and "`ftspec run`" in seen.hint
    JobFolder(tmp_path / "home/jobs/k").finish({"state": "cancelled"})
    assert later.look(halted).state is api.JobState.CANCELLED


def test_the_next_worker_uses_what_the_spec_says_by_now(halted, tmp_path):
    later = LocalProvider(device="auto", precision="bf16")
    later.attach(tmp_path / "home")
    later.poll(halted, cursor=None)
    settings = JobFolder(tmp_path / "home/jobs/k").job()["settings"]
    assert settings == {"device": "auto", "precision": "bf16", "threads": 1}  # threads as they were


def installed(monkeypatch, folder, version):
    """As if this torch were installed."""
    (folder / "torch").mkdir()
    (folder / "torch/__init__.py").touch()
    (folder / "torch/version.py").write_text(version)
    monkeypatch.setattr(device, "find_spec", lambda name: type("Found", (), {"origin": folder / name / "__init__.py"}))


@pytest.mark.parametrize(
    ("wanted", "version", "driver", "said"),
    [
        ("cuda", "cuda: Optional[str] = None\nhip: Optional[str] = None\n", True, "installed without CUDA"),
        ("cuda", "cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", False, "no driver"),
        ("cuda", "cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", True, ""),
        ("cuda", "cuda = None\nhip = '6.4'\n", True, ""),
        ("cuda", "", True, ""),
        ("mps", "", True, "Apple's"),
        ("auto", "cuda: Optional[str] = None\n", False, ""),
        ("cpu", "cuda: Optional[str] = None\n", False, ""),
    ],
)
def test_a_device_that_cannot_be_here(tmp_path, monkeypatch, wanted, version, driver, said):
    installed(monkeypatch, tmp_path, version)
    monkeypatch.setattr(device.sys, "platform", "linux")
    monkeypatch.setattr(device, "DRIVERS", [str(tmp_path)] if driver else [])
    told = device.lacking(wanted)
    assert (said in told) if said else not told


def test_a_device_that_cannot_be_here_is_a_warning_with_its_line_and_makes_no_job(request_, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(device, "lacking", lambda wanted: f"no '{wanted}'")
    mine = LocalProvider(device="cuda")
    mine.attach(tmp_path / "home")
    (found,) = mine.problems(request_)
    assert (found.path, found.severity) == (("provider", "local", "device"), "warning")
    request = uploaded(mine, request_, tmp_path)
    with pytest.raises(api.Rejected, match="no 'cuda'"):
        mine.submit(request, key="k")
    assert mine.find(request, key="k") == []


def test_a_checkpoint_counts_once_all_of_it_is_on_the_disk(tmp_path, monkeypatch):
    """Else a power cut leaves empty files of the right names, and the mark."""
    checkpoint = tmp_path / "checkpoint-2"
    (checkpoint / "inner").mkdir(parents=True)
    for name in ("weights", "inner/state"):
        (checkpoint / name).write_text("x")
    synced = []

    def fsync(descriptor):
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), (checkpoint / checkpoints.MARK).exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    checkpoints.mark_complete(checkpoint)
    early = {Path(place).relative_to(tmp_path).as_posix() for place, marked in synced if not marked}
    assert early >= {"checkpoint-2/weights", "checkpoint-2/inner/state", "checkpoint-2/inner", "checkpoint-2", "."}
    assert synced[-1] == (str(checkpoint), True)
    synced.clear()
    make_durable(checkpoint)
    assert len(synced) == 6


def test_nothing_half_written_is_left_of_a_result_for_which_there_is_no_room(tmp_path):
    folder = JobFolder(tmp_path / "job")
    folder.create({"request": {}})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="large"):
            folder.finish({"error": "x" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in folder.path.iterdir()] == ["job.json"]
    assert json.loads((folder.path / "job.json").read_text()) == {"request": {}}
