"""ftspec-together: fine-tune on Together AI, with its SDK.

This module is what ftspec's entry point loads, so it is light: options and names, nothing that imports together.
"""

from __future__ import annotations

from collections.abc import Mapping

from ftspec import api
from ftspec_together.provider import INSTALL, TogetherProvider

__version__ = "0.1.0"

together = api.provider(name="together", install=INSTALL, dependencies=["together>=3.1,<4"])(TogetherProvider)


@api.hookimpl
def ftspec_providers() -> Mapping[str, api.Component]:
    """Offer `provider: together`."""
    return {"together": together}
