"""ftspec-openai: every tuner that speaks the OpenAI wire shape (`/files`, `/fine_tuning/jobs`, `/chat/completions`).

One implementation on the official SDK, and a table of what each server does differently (ftspec_openai.presets). This
module is what ftspec's entry point loads, so it is light: nothing here imports the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping

from ftspec import api
from ftspec_openai.tuners import OpenAI

__version__ = "0.1.0"

INSTALL = "pip install ftspec-openai"
NEEDS = ("openai>=3.54",)

openai = api.provider(name="openai", dependencies=NEEDS, install=INSTALL)(OpenAI)


@api.hookimpl
def ftspec_providers() -> Mapping[str, api.Component]:
    """Offer every tuner of this shape."""
    return {component.name: component for component in (openai,)}
