"""ftspec-openai: every tuner that speaks the OpenAI wire shape (`/files`, `/fine_tuning/jobs`, `/chat/completions`).

One implementation on the official SDK, and a table of what each server does differently (ftspec_openai.presets). This
module is what ftspec's entry point loads, so it is light: nothing here imports the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping

from ftspec import api
from ftspec_openai.tuners import Azure, BedrockMantle, Compatible, Nebius, OpenAI

__version__ = "0.1.0"

INSTALL = "pip install ./plugins/ftspec-openai"
NEEDS = ("openai>=3.54",)
UNTRIED = "it was tried only against a server of our own, never a real account"
UNCALLED = "what it sends was only compared with AWS's documentation, it never met a server that speaks its API"

openai = api.provider(name="openai", dependencies=NEEDS, install=INSTALL)(OpenAI)
azure = api.provider(name="azure", dependencies=NEEDS, install=INSTALL, experimental=UNTRIED)(Azure)
nebius = api.provider(name="nebius", dependencies=NEEDS, install=INSTALL, experimental=UNTRIED)(Nebius)
bedrock_mantle = api.provider(name="bedrock-mantle", dependencies=NEEDS, install=INSTALL, experimental=UNCALLED)(
    BedrockMantle
)
compatible = api.provider(name="openai-compatible", dependencies=NEEDS, install=INSTALL)(Compatible)


@api.hookimpl
def ftspec_providers() -> Mapping[str, api.Component]:
    """Offer every tuner of this shape."""
    return {component.name: component for component in (openai, azure, nebius, bedrock_mantle, compatible)}
