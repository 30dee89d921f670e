"""What each server of the OpenAI wire shape does differently: one table, and nothing about it anywhere else.

Facts are from the services' own documentation as of 2026-11; none was tried against a paid account.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct


class Preset(Struct, frozen=True, kw_only=True):
    """One server's ways.

    Args:
        name: what a spec calls it.
        key: how a job is found again: our key in its `metadata`, in its `suffix`, or nowhere.
        filters: whether the list of jobs can be filtered by metadata; what comes back is checked in any case.
        suffix: longest suffix that a tuned model's name may have, 0 where it takes none.
        wire: what a hyperparameter of the spec is called there, where it is not called the same.
        newest_is_model: whether the tuned model is the job's last checkpoint, and the job itself names none.
        says_processed: whether a file that is ready is "processed", so that "uploaded" means "not yet".
        uploads_above: bytes above which a file goes through the Uploads API; None where there is none.
        rows: least rows of a training file.
        bytes: most bytes of a file, None where nobody says; `limits` is who says so.
        o200k: whether its models read the encoding o200k_base.
        max_tokens: what the bound of an answer is called when chatting.
    """

    name: str
    key: Literal["metadata", "suffix", "nowhere"] = "metadata"
    filters: bool = False
    suffix: int = 64
    wire: Mapping[str, str] = MappingProxyType({"epochs": "n_epochs"})
    newest_is_model: bool = False
    says_processed: bool = False
    uploads_above: int | None = None
    rows: int = 10
    bytes: int | None = None
    limits: str = ""
    o200k: bool = False
    max_tokens: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"


MB = 1_000_000

OPENAI = Preset(
    name="openai",
    filters=True,
    says_processed=True,
    uploads_above=500 * MB,
    bytes=512 * MB,
    limits="OpenAI's API reference, upload file, as of 2026-11",
    o200k=True,
    max_tokens="max_completion_tokens",
)

AZURE = Preset(
    name="azure",
    says_processed=True,
    uploads_above=150 * MB,
    bytes=512 * MB,
    limits="Microsoft's quotas and limits of Azure OpenAI, as of 2026-11",
    o200k=True,
    max_tokens="max_completion_tokens",
)

NEBIUS = Preset(
    name="nebius",
    key="suffix",
    wire={"epochs": "n_epochs", "rank": "lora_r", "alpha": "lora_alpha", "dropout": "lora_dropout"},
    newest_is_model=True,
    rows=1,
    bytes=50_000 * MB,  # older copies of the page say 5 GB
    limits="https://docs.tokenfactory.nebius.com/post-training/datasets, as of 2026-11-28",
)

MANTLE = Preset(
    name="bedrock-mantle",
    key="nowhere",  # no suffix, and metadata is not documented
    suffix=0,
    rows=1,
    max_tokens="max_completion_tokens",
)

COMPATIBLE = Preset(name="openai-compatible", rows=1)
