"""ftspec-local: fine-tune with transformers, peft and trl on the machine that runs ftspec.

This module is what ftspec's entry point loads, so it is light: options and names, nothing that imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from ftspec import api
from ftspec_local.planning import INSTALL
from ftspec_local.provider import LocalProvider

__version__ = "0.1.0"

# What counts tokens and renders rows: another version may count otherwise, and so is in the data's digests. The rest
# of what must be installed is reported by LocalProvider.problems.
CODE = [f"ftspec_local.{name}" for name in ("options", "render", "rows", "template", "tokens", "writing")]
local = api.provider(name="local", install=INSTALL, dependencies=["tokenizers", "jinja2"], code=CODE)(LocalProvider)


@api.hookimpl
def ftspec_providers() -> Mapping[str, api.Component]:
    """Offer `provider: local`."""
    return {"local": local}
