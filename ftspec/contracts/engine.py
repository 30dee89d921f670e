"""What an engine is: it runs the per-batch part of the pipeline, here or on many machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa


Work = Callable[[Any], Any]
"""What an engine runs: stateless and picklable (names and options inside, never a closure)."""


class Engine(Protocol):
    """Runs the per-batch part of the pipeline. Whatever the engine, the results are the same."""

    def map(self, work: Work, items: Iterable[Any]) -> Iterator[Any]:
        """Apply `work` to each item; yield results in the items' order, holding a bounded number of them."""
        ...


@runtime_checkable
class SupportsReduce(Protocol):
    """An engine that shuffles: it runs reductions of `scope: key` itself, on parts of the rows."""

    def reduce(self, work: Work, items: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Bring rows of equal `key` together, in the order of `items`, and apply `work` to each part.

        Items have the columns key, row and place (rising over all items); a part is such a batch, sorted by place.
        `work` returns what to drop: columns row and because. Parts may be yielded in any order.
        """
        ...


@runtime_checkable
class SupportsShuffle(Protocol):
    """An engine whose workers keep what they make, so that steps can be taken one after the other without the driver.

    What `hold` and `shuffle` return stands for batches that lie with the engine, and is only good for these methods.
    """

    def hold(self, work: Work, items: Any) -> Any:
        """Apply `work` to each of the items, batches (one at least) or what is held; the batches it returns are held.

        An exception of `work` is raised here, or where what it should have returned is fetched.
        """
        ...

    def shuffle(self, work: Work, *held: Any) -> Any:
        """Bring rows of equal `key` (a column of integers) together, and apply `work` to each part.

        A part is a list: of each argument the rows whose key belongs to it, in any order, as one batch, which may be
        empty. The batches that `work` returns are held.
        """
        ...

    def fetch(self, held: Any) -> Iterator[pa.RecordBatch]:
        """What is held, batch by batch, in any order."""
        ...
