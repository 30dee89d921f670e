"""Models of the Hugging Face hub, in the cache of its own client: the commit of one, its small files, its weights.

The small files (configuration, tokenizer, chat template) are fetched when a spec is planned: rows are counted with
them, and they pin the commit, which is part of what a job is. The weights are fetched, of that commit, when they are
needed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from ftspec import api

SMALL = ("*.json", "*.jinja", "*.txt", "*.model")
WEIGHTS = "*.safetensors"
LEFT_OUT = ("*/*", "consolidated*")
"""What no transformers model is read from: folders within, and weights once more in the format of their maker."""
INDEX = "model.safetensors.index.json"
ACCOUNT = "`hf auth login`, or a token of that account as HF_TOKEN"


class ModelError(ValueError):
    """The base model cannot be had; `hint` is the line to type. A warning says that it may not be had.

    `final` says that asking again helps nothing: there is no such model, or it is not for you.
    """

    def __init__(
        self, message: str, hint: str = "", severity: Literal["error", "warning"] = "error", *, final: bool = False
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.severity = severity
        self.final = final


def cache_root() -> Path:
    """Where converted models are kept, and which files a model has: $FTSPEC_CACHE, else ftspec/ in the user's cache."""
    chosen = os.environ.get("FTSPEC_CACHE")
    return Path(chosen) if chosen else api.usercache.folder()


def described(hub_id: str, revision: str | None) -> Path | None:
    """The folder of the commit that is here with all of its small files, with or without its weights.

    Others use the client's cache too, and may have wanted no more than the configuration; and a fetch may have ended
    in the middle. So which files there are is written down when all have come. Weights are taken for a whole model.
    """
    folder = cached(hub_id, revision)
    return folder if folder and (complete(folder) or _is_whole(folder)) else None


def _is_whole(folder: Path) -> bool:
    try:
        names = json.loads(_names(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all((folder / name).exists() for name in names)


def _names(folder: Path) -> Path:
    """Where the names of a commit's small files are written down."""
    return cache_root() / "hub" / f"{folder.parent.parent.name}--{folder.name}.json"


def cached(hub_id: str, revision: str | None) -> Path | None:
    """The folder of the commit that is here, with or without its weights; read without importing the client."""
    root = client_cache() / f"models--{hub_id.replace('/', '--')}"
    reference = root / "refs" / (revision or "main")
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision or ""
    folder = root / "snapshots" / commit
    return folder if commit and (folder / "config.json").exists() else None


def client_cache() -> Path:
    """Where the client keeps what it fetches: the variables are its own, and read as it reads them."""
    home = _named("HF_HOME", f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface")
    return Path(_named("HF_HUB_CACHE", os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"))


def _named(variable: str, default: str) -> str:
    return os.path.expandvars(os.path.expanduser(os.environ.get(variable) or default))  # noqa: PTH111


def complete(folder: Path) -> bool:
    """Whether all weights are here: each is there only once it was fetched whole."""
    index = folder / INDEX
    if not index.is_file():
        return any(folder.glob(WEIGHTS))
    return all(
        (folder / name).exists() for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    )


def weights_bytes(folder: Path) -> int:
    """What the weights take, also before they are fetched where their index says it; 0 where nobody knows."""
    index = folder / INDEX
    if index.is_file() and not complete(folder):
        told = json.loads(index.read_text(encoding="utf-8")).get("metadata", {}).get("total_size", 0)
        return int(told) if isinstance(told, (int, float)) else 0
    return sum(path.stat().st_size for path in folder.glob(WEIGHTS))


def is_commit(revision: str | None) -> bool:
    """Whether a revision names the content by itself."""
    return bool(re.fullmatch("[0-9a-f]{40}", revision or ""))


def offline() -> bool:
    """Whether the user has forbidden to ask the hub."""
    said = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return said.lower() in {"1", "true", "yes", "on"}


def fetch_small(hub_id: str, revision: str | None) -> Path:
    """The folder with all but the weights. Raises ModelError."""
    with _silent():
        folder = _fetch(hub_id, revision, SMALL)
    with suppress(OSError):  # a cache that cannot be written: they are asked for again
        names = _names(folder)
        names.parent.mkdir(parents=True, exist_ok=True)
        names.write_text(json.dumps(sorted(path.name for path in folder.iterdir())), encoding="utf-8")
    return folder


def fetch(hub_id: str, revision: str | None) -> Path:
    """The folder with the weights too, of the commit that is here already where one is. Raises ModelError."""
    here = described(hub_id, revision) or fetch_small(hub_id, revision)
    folder = _fetch(hub_id, here.name, (*SMALL, WEIGHTS))
    if complete(folder):
        return folder
    # Where the hub cannot be reached, its client gives what is here, and says nothing.
    raise ModelError(
        f"the weights of '{hub_id}' are not all here, and the Hugging Face hub did not give them",
        "check the network, and that the model has .safetensors files",
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Without the client's progress bars, which would stand in the middle of a plan."""
    from huggingface_hub import utils

    shown = not utils.are_progress_bars_disabled()
    if shown:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            utils.enable_progress_bars()


def _fetch(hub_id: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    api.hubclient.patient()
    try:
        return Path(
            snapshot_download(hub_id, revision=revision, allow_patterns=list(patterns), ignore_patterns=list(LEFT_OUT))
        )
    except Exception as error:  # the hub's client raises what its HTTP library raises
        raise _told(error, hub_id, revision) from error


def _told(error: Exception, hub_id: str, revision: str | None) -> ModelError:
    """What the hub's client raises, in a user's words. It quotes addresses and ids of requests, over several lines."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return ModelError(
            f"'{hub_id}' is gated, and the hub does not open it to you",
            f"accept its terms on its page of the hub, then {ACCOUNT}",
            final=True,
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(
            f"the hub has no model '{hub_id}', or it is not yours to see",
            f"check the name; for a private one {ACCOUNT}",
            final=True,
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(
            f"'{hub_id}' has no revision '{revision}'", "name a branch, a tag or a commit that is there", final=True
        )
    if isinstance(error, api.hubclient.Away):
        return ModelError(
            f"'{hub_id}' cannot be fetched from the Hugging Face hub: {error.reason}",
            f"{error.hint}: files that have come whole are kept",
        )
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"'{hub_id}' cannot be fetched from the Hugging Face hub: {said}", f"check the name and the network; {ACCOUNT}"
    )
