"""Which entities can be in which texts: arrays of texts are asked, so that Python looks at few, and for little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ftspec import rows
from ftspec.builtin.redaction.entities import Entity, Found, find
from ftspec.builtin.redaction.numerals import Numerals

if TYPE_CHECKING:
    import pyarrow as pa

    from ftspec.builtin.redaction.numerals import Numbers

Named = tuple[str, Entity]


class Mesh(NamedTuple):
    """What can be in the texts that a hint finds: the entity of bit `mark`, or what `finer` meshes find, all of which
    the hint finds too. Finer ones have patterns."""

    hint: str | Callable[[Numerals], Numbers]
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
        import numpy as np

        if texts.null_count == len(texts):
            return {}
        numerals = Numerals(texts)
        marks: Numbers = np.zeros(len(texts), dtype=np.int64)
        for mesh in self.meshes:
            _sift(numerals, None, mesh, marks)
        if texts.null_count:
            marks[rows.as_numpy(texts.is_null())] = 0
        found = np.flatnonzero(marks)
        return dict(zip(found.tolist(), marks[found].tolist(), strict=True))

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


def _sift(numerals: Numerals, places: Numbers | None, mesh: Mesh, marks: Numbers) -> None:
    """Put the mesh's marks on the texts, of all or of the ones at `places`, that it finds."""
    if callable(mesh.hint):
        here = mesh.hint(numerals)
    else:
        here = numerals.matching(mesh.hint, places)
    marks[here] |= mesh.mark
    for finer in mesh.finer if len(here) else ():
        _sift(numerals, here, finer, marks)
