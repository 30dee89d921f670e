"""ftspec-local: fine-tune with transformers, peft and trl on the machine that runs ftspec.

This module is what ftspec's entry point loads, so it is light: options and names, nothing that imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from ftspec import api
from ftspec_local.provider import INSTALL, LocalProvider

__version__ = "0.1.0"

# Dependencies whose absence is reported come from LocalProvider.problems, with the line that installs them.
local = api.provider(name="local", install=INSTALL)(LocalProvider)


@api.hookimpl
def ftspec_providers() -> Mapping[str, api.Component]:
    """Offer `provider: local`."""
    return {"local": local}
