"""What steps and checks may know of the model that the spec tunes: its tokenizer, and what it takes of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ftspec.common.jobs import Request
from ftspec.common.messages import Example
from ftspec.common.records import Record
from ftspec.contracts.provider import Provider


class Tokenizer(Protocol):
    """The model's own tokenizer, as steps and checks use it: from any thread."""

    @property
    def special(self) -> Sequence[str]:
        """Control tokens, as text: one inside a row's text would end a turn or open another."""
        ...

    @property
    def per_byte(self) -> float:
        """No text has more tokens than this times its bytes in UTF-8: so a bound can decide without counting."""
        ...

    def counts(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text alone, without what a chat template adds."""
        ...

    def cut(self, text: str, most: int) -> str:
        """The longest beginning of the text that has at most so many tokens, and ends where a token ends."""
        ...

    def row(self, example: Example) -> tuple[int, int] | None:
        """(tokens that training sees of a row, those of them that are trained on); None for one that the model cannot
        take, which `write` refuses with a reason."""
        ...


@runtime_checkable
class SupportsTokenizer(Protocol):
    """A provider that has its models' tokenizers on this machine."""

    def tokenizer(self, request: Request) -> Tokenizer | None:
        """The tokenizer of the request's model; None where it cannot be had here. Offline."""
        ...


class Limits(Record):
    """What a provider takes of training data. None where it is not known; `source` is who says so.

    Examples are those of a file, `row_tokens` is the most tokens of a row, `file_bytes` the most bytes of a file.
    `images` is the most images of a row where that is another number with this model than `Method` says.
    """

    max_examples: int | None = None
    max_validation_examples: int | None = None
    file_bytes: int | None = None
    row_tokens: int | None = None
    source: str = ""
    images: int | None = None


@runtime_checkable
class SupportsLimits(Protocol):
    """A provider that knows what it takes of training data; offline."""

    def data_limits(self, request: Request) -> Limits:
        """What is known of the request's model and method; None in a field says that it is not known."""
        ...


class Tuner:
    """What the spec tunes, for a step or check that must know the model: a factory's parameter of this type is no
    option, core fills it in. All is offline, and without a provider nothing is known."""

    def __init__(self, provider: Provider | None = None, request: Request | None = None) -> None:
        self.provider, self.request = provider, request

    def tokenizer(self) -> Tokenizer | None:
        """The model's tokenizer, None where it cannot be had on this machine."""
        if self.request is None or not isinstance(self.provider, SupportsTokenizer):
            return None
        return self.provider.tokenizer(self.request)

    def images(self) -> int | None:
        """The most images that a row may hold, as Limits or Method say; None where nothing is known."""
        if self.request is None or self.provider is None:
            return None
        of_model = self.limits().images
        if of_model is not None:
            return of_model
        method = self.provider.methods.get(self.request.method)
        return method.images if method else None

    def image_urls(self) -> tuple[str, ...]:
        """How the address of an image may begin, as Method says; () where nothing is known."""
        if self.request is None or self.provider is None:
            return ()
        method = self.provider.methods.get(self.request.method)
        return method.image_urls if method else ()

    def limits(self) -> Limits:
        """What the provider takes of training data, as far as it says."""
        if self.request is None or not isinstance(self.provider, SupportsLimits):
            return Limits()
        return self.provider.data_limits(self.request)
