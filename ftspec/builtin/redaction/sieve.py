"""Which entities can be in which texts: RE2 asks whole arrays of texts, so that Python looks at few, and for little."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ftspec.builtin.redaction.entities import Entity, Found, find

if TYPE_CHECKING:
    import pyarrow as pa

Named = tuple[str, Entity]


class Mesh(NamedTuple):
    """A pattern, and what can be in the texts that it finds: the entity of bit `mark`, or what `finer` meshes find.

    Every text that a finer mesh finds is found by this one too.
    """

    pattern: str
    mark: int = 0
    finer: Sequence[Mesh] = ()


class Sieve:
    """Finds entities. As a step's prefilter it tells of each text, by a number, which of them can be in it."""

    def __init__(self, entities: Sequence[Named], meshes: Sequence[Mesh]) -> None:
        """A bit of a mark is the place of an entity in `entities`; the one after them stands for them all."""
        self.entities = entities
        self.meshes = meshes
        self.marked: dict[int, Sequence[Named]] = {}

    def __call__(self, texts: pa.Array) -> dict[int, int]:
        found: dict[int, int] = {}
        _sift(texts, None, self.meshes, found)
        return dict(sorted(found.items()))

    def find(self, text: str, mark: int | None = None) -> list[Found]:
        """All entities of a text, by position; of those alone that the mark names, if there is one."""
        return find(text, self.entities if mark is None else self._of(mark))

    def _of(self, mark: int) -> Sequence[Named]:
        if mark >> len(self.entities):
            return self.entities
        if mark not in self.marked:
            chosen = [each for bit, each in enumerate(self.entities) if mark >> bit & 1]
            # A text with a mark has the hint, and passes every gate that asks for no more.
            self.marked[mark] = [(n, entity if entity.strict else entity._replace(gate=None)) for n, entity in chosen]
        return self.marked[mark]


def _sift(texts: pa.Array, places: pa.Array | None, meshes: Iterable[Mesh], found: dict[int, int]) -> None:
    """`places`: where the texts stand in the whole array, None for the whole."""
    import pyarrow.compute as pc

    for mesh in meshes:
        here = pc.indices_nonzero(pc.match_substring_regex(texts, mesh.pattern))
        if len(here) == 0:
            continue
        whole = here if places is None else places.take(here)
        if mesh.finer:
            _sift(texts.take(here), whole, mesh.finer, found)
        for place in whole.to_pylist() if mesh.mark else ():
            found[place] = found.get(place, 0) | mesh.mark
