"""Commits of datasets that are on this machine: `datasets` keeps what it has prepared of each."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

from ftspec import api

DEFAULT = "default"
"""The subset of a dataset that has no others. What the first of several is called only the hub knows."""


def prepared(dataset: str, commit: str, subset: str) -> Any | None:
    """A builder of what was prepared of the commit here, for which nobody is asked; None where nothing was."""
    import datasets
    from datasets.naming import camelcase_to_snakecase
    from datasets.packaged_modules.cache.cache import Cache

    *owner, name = dataset.split("/")
    root = Path(datasets.config.HF_DATASETS_CACHE) / "___".join([*owner, camelcase_to_snakecase(name)])
    found = sorted(root.glob(f"{glob.escape(subset or DEFAULT)}/*/{commit}/dataset_info.json"))
    if not found:
        return None
    version = found[-1].parent.parent.name
    return Cache(repo_id=dataset, dataset_name=name, config_name=subset or DEFAULT, version=version, hash=commit)


def checked(builder: Any, dataset: str, commit: str, subset: str) -> Any:
    """The builder, or one of what was asked for: where the hub is away, the library's reads what it has had last.

    Raises FtspecError where commit and subset were never prepared here.
    """
    if type(builder).__name__ != "Cache":
        return builder
    if kept := prepared(dataset, commit, subset):
        api.hubclient.tell(f"'{dataset}' is read as this machine has kept it, at {commit[:12]}")
        return kept
    api.hubclient.patient().check()
    raise api.FtspecError(
        f"the hub cannot be asked, and '{dataset}' at {commit[:12]} was never prepared on this machine",
        "run it once where the hub answers (is HF_HUB_OFFLINE set?), with `streaming: false`; name the `subset`",
    )
