"""How this plugin starts Python processes of its own: torch lives in them, never in the runner."""

from __future__ import annotations

import sys

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def command(module: str, *arguments: str) -> list[str]:
    """The command line; -P keeps the current folder out of the import path."""
    return [sys.executable, "-P", "-m", f"ftspec_local.{module}", *arguments]


def environment() -> dict[str, str]:
    """The environment: ours without secrets, with defaults that a user's own settings override.

    OpenMP's threads spin while they wait for each other. On a machine that does anything else at the same time this
    takes twice the CPU seconds and three times as long; letting them sleep costs next to nothing on an idle one.
    glibc gives every large tensor back to the system when it is freed, and gets it anew, page by page, for the next
    one: kept and in huge pages, a third less time in training on a virtual machine. Other systems ignore the settings.
    """
    from ftspec import api  # not at the top: a worker, which needs this module too, begins with the standard library

    # Models are folders by the time a child is started, so nothing may be looked up on a hub, and no key is of use.
    # Code of many authors runs there, and its log is written as it comes.
    # One GPU, since the trainer would otherwise spread over all it sees, in a way that TRL refuses.
    defaults = {"OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": "0"}
    return {**defaults, **ALLOCATOR, **api.without_secrets(), "HF_HUB_OFFLINE": "1"}
