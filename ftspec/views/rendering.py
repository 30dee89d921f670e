"""One row as the model will see it: the exact tokens, and which of them it is trained on."""

from __future__ import annotations

from ftspec.common.messages import Example
from ftspec.common.progress import Progress
from ftspec.common.records import Record
from ftspec.contracts.abilities import SupportsRender, Token
from ftspec.data import preview
from ftspec.problems import located
from ftspec.registry import Registry
from ftspec.run.site import Options, survey
from ftspec.validation.validate import Loaded


class Rendered(Record):
    """A formatted row and its tokens, None where the provider cannot tell them. `origin` is its `file:line`."""

    example: Example
    origin: str
    side: str
    tokens: tuple[Token, ...] | None = None


def render(loaded: Loaded, registry: Registry, options: Options, row: int | str | None, progress: Progress) -> Rendered:
    """Clean, format and render one row: a number from 1, "FILE:LINE", or None for the first one kept.

    Raises what `ftspec.data.preview.preview` raises.
    """
    progress.phase("reading the row")
    with located(loaded.document):
        shown = preview.preview(loaded.spec, registry, row)
    site = survey(loaded, registry, options, progress)
    tokens = None
    if isinstance(site.provider, SupportsRender):
        tokens = tuple(site.provider.render(site.target.request, shown.example))
    return Rendered(example=shown.example, origin=shown.origin, side=shown.side, tokens=tokens)
