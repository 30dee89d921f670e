"""Which entities can be in which texts: arrays of texts are asked, so that Python looks at few, and for little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from string import ascii_uppercase, digits, hexdigits
from typing import TYPE_CHECKING, NamedTuple

from ftspec import rows
from ftspec.builtin.compiled import native, scankernels
from ftspec.builtin.redaction.entities import Entity, Found, find
from ftspec.builtin.redaction.numerals import Numerals, signs
from ftspec.builtin.redaction.telephones import BETWEEN

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
        self.telling = all(entity.telling for _, entity in entities)

    def __call__(self, texts: pa.Array) -> dict[int, int]:
        if texts.null_count == len(texts):
            return {}
        kernels = native.loaded(texts.nbytes // native.SEARCHED) if self.telling else None
        return self.by_machine(kernels, texts) if kernels else self.by_meshes(texts)

    def by_machine(self, kernels: native.Native, texts: pa.Array) -> dict[int, int]:
        """`by_meshes`, asked of those texts alone that have something telling: few."""
        import numpy as np

        some = np.flatnonzero(kernels.telling(*native.laid_out(texts), kinds()))
        marks = self.by_meshes(texts.take(rows.from_numpy(some))) if len(some) else {}
        return dict(zip(some[list(marks)].tolist(), marks.values(), strict=True))

    def by_meshes(self, texts: pa.Array) -> dict[int, int]:
        """Of each text what can be in it."""
        import numpy as np

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


@cache
def kinds() -> Numbers:
    """What each byte is to `scankernels.telling`."""
    import numpy as np

    made: Numbers = np.zeros(256, dtype=np.uint8)
    for kind, characters in (
        (scankernels.DIGIT, digits), (scankernels.AT, "@"), (scankernels.COLON, ":"), (scankernels.BETWEEN, BETWEEN),
        (scankernels.HEX, hexdigits), (scankernels.CAPITAL, ascii_uppercase),
    ):  # fmt: skip
        made |= signs(characters).astype(np.uint8) * np.uint8(kind)
    return made


def _sift(numerals: Numerals, places: Numbers | None, mesh: Mesh, marks: Numbers) -> None:
    """Put the mesh's marks on the texts, of all or of the ones at `places`, that it finds."""
    if callable(mesh.hint):
        here = mesh.hint(numerals)
    else:
        here = numerals.matching(mesh.hint, places)
    marks[here] |= mesh.mark
    for finer in mesh.finer if len(here) else ():
        _sift(numerals, here, finer, marks)
