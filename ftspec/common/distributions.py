"""What an installed distribution is called, and its version: two of the first lines of its metadata.

`importlib.metadata` parses all of them as an e-mail, a README too, each time that it is asked for one.
"""

from __future__ import annotations

import importlib.metadata


def version(name: str) -> str:
    """As `importlib.metadata.version` says it. Raises PackageNotFoundError."""
    return named(importlib.metadata.distribution(name))[1]


def named(found: importlib.metadata.Distribution) -> tuple[str, str]:
    """Name and version."""
    head = (found.read_text("METADATA") or "").partition("\n\n")[0].splitlines()
    said = {line.partition(": ")[0]: line.partition(": ")[2] for line in reversed(head)}
    if "Name" in said and "Version" in said:
        return said["Name"], said["Version"]
    return found.metadata["Name"], found.metadata["Version"]  # of an .egg-info
