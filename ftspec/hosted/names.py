"""Names of what ftspec makes at a provider, and moments as SDKs give them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

PREFIX = "ftspec-"
"""What the name of everything begins with that ftspec makes at a provider."""


def name_of(key: str, most: int = 40) -> str:
    """A name for what is made for a job's key, the same each time: letters, digits and one hyphen."""
    return PREFIX + key[: most - len(PREFIX)]


def timestamp(at: Any) -> float:
    """Seconds since the epoch of a moment that an SDK gives as datetime or as text; now where it is neither."""
    if isinstance(at, datetime):
        return at.timestamp()
    try:
        return datetime.fromisoformat(str(at).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return time.time()
