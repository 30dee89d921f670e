"""ftspec-fireworks: fine-tune on Fireworks AI, with its SDK.

This module is what ftspec's entry point loads, so it is light: options and names, nothing that imports fireworks.
"""

from __future__ import annotations

from collections.abc import Mapping

from ftspec import api
from ftspec_fireworks.provider import INSTALL, FireworksProvider

__version__ = "0.1.0"

UNTRIED = "it was tried only against a server of our own, which speaks the SDK's types, never a real account"
fireworks = api.provider(
    name="fireworks", install=INSTALL, dependencies=["fireworks-ai>=1.2.28,<2"], experimental=UNTRIED
)(FireworksProvider)


@api.hookimpl
def ftspec_providers() -> Mapping[str, api.Component]:
    """Offer `provider: fireworks`."""
    return {"fireworks": fireworks}
