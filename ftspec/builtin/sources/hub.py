"""Hugging Face datasets: of the hub at a pinned revision, or from a folder on this machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ftspec import api
from ftspec.builtin.files import BATCH_ROWS, Read
from ftspec.builtin.sources import hubcache, hubcauses

COMMIT = re.compile(r"[0-9a-f]{40}")
KEEP = "with `streaming: false` files that have come are kept for the next one"


def _one_place(options: Mapping[str, Any]) -> Iterable[api.Clash]:
    if bool(options["dataset"]) == bool(options["folder"]):
        yield ("dataset",), "give either `dataset` (an id of the hub) or `folder`"
    for name in ("revision", "token"):
        if options["folder"] and options[name] not in ("", "main"):
            yield (name,), f"`{name}` is for a `dataset` of the hub"


@api.source(
    rules=[_one_place],
    dependencies=["datasets>=3"],
    install="pip install 'ftspec[huggingface]'",
    code=["ftspec.builtin.files", "ftspec.builtin.sources.hubcache", "ftspec.builtin.sources.hubcauses"],
)
def huggingface(
    *,
    dataset: str = "",
    folder: api.Path | None = None,
    revision: str = "main",
    subset: str = "",
    split: str = "train",
    streaming: bool = True,
    token: str = "",
) -> api.Source:
    """Read rows of a Hugging Face dataset: `dataset` is its id on the hub, `folder` one on this machine.

    A `folder` is what `save_to_disk` wrote, or holds data files as a repository of the hub does. A `revision` that is
    a branch or a tag is looked up for the plan: pin a commit, and the plan needs no network. With `streaming` rows are
    read as they come; without, the library prepares all of it in its cache first.
    """

    def pinned() -> str:
        return revision if COMMIT.fullmatch(revision) else _commit(dataset, revision, token)

    if folder:
        return api.Source(lambda: _chunks(lambda: _on_disk(folder, subset, split, streaming), folder, split))

    def from_hub() -> Any:
        return _from_hub(dataset, pinned(), subset, split, streaming, token)

    return api.Source(
        lambda: _chunks(from_hub, f"hf://{dataset}", split, dataset, not streaming), lambda: f"{dataset} {pinned()}"
    )


def _commit(dataset: str, revision: str, token: str) -> str:
    """The commit that a branch or a tag of the hub stands for now."""
    from huggingface_hub import HfApi

    api.hubclient.patient()
    try:
        return str(HfApi().dataset_info(dataset, revision=revision, token=token or None).sha)
    except api.hubclient.Away as error:
        raise api.FtspecError(
            f"the hub does not say what revision '{revision}' of '{dataset}' is: {error.reason}",
            f"{error.hint}, or do without: pin a commit as `revision`, or read a copy by `folder`",
        ) from None
    except Exception as error:  # the library and what it stands on raise many kinds: httpx's are no OSError
        if known := hubcauses.cause(error, dataset):
            raise api.FtspecError(f"revision '{revision}': {known.reason}", known.hint) from None
        message = f"the hub does not say what revision '{revision}' of '{dataset}' is: {type(error).__name__}"
        raise api.FtspecError(
            message, "check the network, or do without: pin a commit as `revision`, or read a copy by `folder`"
        ) from None


def _from_hub(dataset: str, commit: str, subset: str, split: str, streaming: bool, token: str) -> Any:
    """The commit's rows, and no other's: where the hub is away, the library takes the commit that it has had last."""
    api.hubclient.patient()
    import datasets

    if not streaming and (kept := hubcache.prepared(dataset, commit, subset)):
        return kept.as_dataset(split=split)
    found = datasets.load_dataset_builder(dataset, subset or None, revision=commit, token=token or None)
    builder = hubcache.checked(found, dataset, commit, subset)
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare()
    return builder.as_dataset(split=split)


def _on_disk(folder: str, subset: str, split: str, streaming: bool) -> Any:
    """`save_to_disk` leaves a state.json in a dataset and a dataset_dict.json in a set of splits."""
    import datasets

    path = Path(folder)
    if (path / "dataset_dict.json").exists():
        found = datasets.load_from_disk(folder)
        if split not in found:
            raise api.FtspecError(f"'{folder}' has no split '{split}'", f"it has {', '.join(found)}")
        return found[split]
    if (path / "state.json").exists():
        return datasets.load_from_disk(folder)
    return datasets.load_dataset(folder, subset or None, split=split, streaming=streaming)


def _chunks(open_it: Callable[[], Any], name: str, split: str, dataset: str = "", kept: bool = False) -> Read:
    """The dataset as record batches; a row's line is its place in the split.

    `dataset` is its id on the hub; `kept`: what comes from there stays on this machine. Raises FtspecError where the
    hub goes away: a part of the rows is not what the spec names.
    """
    number = 1
    origin = f"{name}[{split}]"
    try:
        for table in open_it().with_format("arrow").iter(batch_size=BATCH_ROWS):
            for batch in table.combine_chunks().to_batches():
                yield api.Chunk(batch, origin, range(number, number + batch.num_rows))
                number += batch.num_rows
    except ImportError:
        raise
    except Exception as error:  # the library and what it stands on raise many kinds, and quote values of rows
        if dataset and (away := hubcauses.away(error)):
            message = f"'{dataset}' cannot be read after row {number - 1}: {away.reason}"
            raise api.FtspecError(message, away.hint if kept else f"{away.hint} ({KEEP})") from None
        if isinstance(error, api.FtspecError):
            raise
        known = hubcauses.cause(error, dataset) if dataset else None
        reason, hint = known or (type(error).__name__, "check id, subset, split and network")
        message = f"cannot be read after row {number - 1}: {reason}"
        yield api.Finding(message=message, hint=hint, file=origin, line=number)
