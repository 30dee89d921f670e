"""ftspec-together: fine-tune on Together AI, with its SDK.

This module is what ftspec's entry point loads, so it is light: options and names, nothing that imports together.
"""

from __future__ import annotations

from collections.abc import Mapping

from ftspec import api
from ftspec_together.provider import INSTALL, TogetherProvider

__version__ = "0.1.0"

UNTRIED = "it was tried only against a server of our own, which speaks the SDK's types, never a real account"
together = api.provider(name="together", install=INSTALL, dependencies=["together>=3.1,<4"], experimental=UNTRIED)(
    TogetherProvider
)


@api.hookimpl
def ftspec_providers() -> Mapping[str, api.Component]:
    """Offer `provider: together`."""
    return {"together": together}
