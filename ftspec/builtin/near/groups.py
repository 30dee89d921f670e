"""The groups that pairs of similar sets make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftspec.builtin.near.sets import Sets, jaccard

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Groups:
    """Disjoint groups of the numbers 0 … count - 1; each is called by its smallest member."""

    def __init__(self, count: int) -> None:
        import numpy as np

        self.of: NDArray[np.int64] = np.arange(count)

    def join(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        """Put one[i] and other[i] into the same group, for every i."""
        import numpy as np

        while True:
            first, second = self.of[one], self.of[other]
            apart = first != second
            if not apart.any():
                return
            one, other, first, second = one[apart], other[apart], first[apart], second[apart]
            np.minimum.at(self.of, np.maximum(first, second), np.minimum(first, second))
            while not np.array_equal(up := self.of[self.of], self.of):
                self.of = up

    def join_similar(self, sets: Sets, one: NDArray[np.int64], other: NDArray[np.int64], threshold: float) -> None:
        """Join sets one[i] and other[i] where their Jaccard similarity is at least `threshold`."""
        import numpy as np

        open_ = self.of[one] != self.of[other]
        one, other = one[open_], other[open_]
        first, second = sets.sizes_of(one), sets.sizes_of(other)
        possible = sizes_allow(np.minimum(first, second), np.maximum(first, second), threshold)
        one, other = one[possible], other[possible]
        alike = jaccard(sets, one, other) >= threshold
        self.join(one[alike], other[alike])


def sizes_allow(fewer: NDArray[np.int64], more: NDArray[np.int64], threshold: float) -> NDArray[np.bool_]:
    """Whether sets of these sizes can be similar: at best, the smaller one is part of the larger one."""
    import numpy as np

    return np.asarray(fewer >= threshold * more - 1e-9, np.bool_)
