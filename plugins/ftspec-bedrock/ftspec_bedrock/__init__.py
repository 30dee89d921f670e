"""ftspec-bedrock: fine-tune on Amazon Bedrock, with boto3.

This module is what ftspec's entry point loads, so it is light: options and names, nothing that imports boto3.
"""

from __future__ import annotations

from collections.abc import Mapping

from ftspec import api
from ftspec_bedrock.provider import INSTALL, BedrockProvider

__version__ = "0.1.0"

UNTRIED = (
    "it was tried only against moto and a server of our own, checked by AWS's API description, never a real account"
)
bedrock = api.provider(name="bedrock", install=INSTALL, dependencies=["boto3>=1.44"], experimental=UNTRIED)(
    BedrockProvider
)


@api.hookimpl
def ftspec_providers() -> Mapping[str, api.Component]:
    """Offer `provider: bedrock`."""
    return {"bedrock": bedrock}
