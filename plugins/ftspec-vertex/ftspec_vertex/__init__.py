"""ftspec-vertex: fine-tune on Google Vertex AI, with its SDK.

This module is what ftspec's entry point loads, so it is light: options and names, nothing that imports google.genai.
"""

from __future__ import annotations

from collections.abc import Mapping

from ftspec import api
from ftspec_vertex.provider import INSTALL, VertexProvider

__version__ = "0.1.0"

UNTRIED = "it was tried only against a server of our own, checked by Google's API description, never a real account"
vertex = api.provider(name="vertex", install=INSTALL, dependencies=["google-genai>=3.4,<4"], experimental=UNTRIED)(
    VertexProvider
)


@api.hookimpl
def ftspec_providers() -> Mapping[str, api.Component]:
    """Offer `provider: vertex`."""
    return {"vertex": vertex}
