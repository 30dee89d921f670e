"""Which entities can be in which texts: arrays of texts are asked, so that Python looks at few, and for little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from string import ascii_letters, ascii_uppercase, digits, hexdigits, whitespace
from typing import TYPE_CHECKING

import msgspec

from ftspec import rows
from ftspec.builtin.redaction import accounts, telephones
from ftspec.builtin.redaction.entities import Entity, Found, find
from ftspec.builtin.redaction.numerals import Numerals, signs
from ftspec.compiled import entitykernels, native

if TYPE_CHECKING:
    import pyarrow as pa

    from ftspec.builtin.redaction.numerals import Numbers

Named = tuple[str, Entity]


class Mesh(msgspec.Struct, frozen=True):
    """What can be in the texts that a hint finds: the entity of bit `mark`, or what `finer` meshes find, all of which
    the hint finds too. Finer ones have patterns. `telling` is the entity's."""

    hint: str | Callable[[Numerals], Numbers]
    mark: int = 0
    telling: int = 0
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
        kernels = native.loaded(texts.nbytes // native.SIFTED) if self.telling else None
        return self.by_machine(kernels, texts) if kernels else self.by_meshes(texts)

    def by_machine(self, kernels: native.Native, texts: pa.Array) -> dict[int, int]:
        """`by_meshes`, whose hints find a few texts more."""
        import numpy as np

        told = kernels.telling(*native.laid_out(texts), *tables())
        if texts.null_count:
            told[rows.as_numpy(texts.is_null())] = 0
        found = np.flatnonzero(told)
        marks: list[int] = self.by_telling.take(told.take(found)).tolist()
        return {place: mark for place, mark in zip(found.tolist(), marks, strict=True) if mark}

    @cached_property
    def by_telling(self) -> Numbers:
        """The mark of a text of which `entitykernels.telling` says so much."""
        import numpy as np

        told = np.arange(256)
        made: Numbers = np.zeros(len(told), dtype=np.int64)
        for mesh in self.meshes:
            made[told & mesh.telling != 0] |= mesh.mark
        return made

    def by_meshes(self, texts: pa.Array) -> dict[int, int]:
        """Of each text what can be in it."""
        return _marked(texts, _sifted(texts, self.meshes))

    def find(self, text: str, mark: int | None = None) -> list[Found]:
        """All entities of a text, by position; of those alone that the mark names, if there is one."""
        return find(text, self.entities if mark is None else self._of(mark))

    def _of(self, mark: int) -> Sequence[Named]:
        chosen = self.marked.get(mark)
        if chosen is None:
            chosen = self.marked[mark] = self._named(mark)
        return chosen

    def _named(self, mark: int) -> Sequence[Named]:
        if mark >> len(self.entities):
            return self.entities
        chosen = [each for bit, each in enumerate(self.entities) if mark >> bit & 1]
        # A text with a mark has the hint, and passes every gate that asks for no more.
        return [(name, entity if entity.strict else entity._replace(gate=None)) for name, entity in chosen]


def _marked(texts: pa.Array, marks: Numbers) -> dict[int, int]:
    """The marks by place, without those of nulls and zeros."""
    import numpy as np

    if texts.null_count:
        marks[rows.as_numpy(texts.is_null())] = 0
    found = np.flatnonzero(marks)
    return dict(zip(found.tolist(), marks[found].tolist(), strict=True))


def _sifted(texts: pa.Array, meshes: Sequence[Mesh]) -> Numbers:
    """Of each text the marks of the meshes that find it."""
    import numpy as np

    numerals = Numerals(texts)
    marks: Numbers = np.zeros(len(texts), dtype=np.int64)
    for mesh in meshes:
        _sift(numerals, None, mesh, marks)
    return marks


def _sift(numerals: Numerals, places: Numbers | None, mesh: Mesh, marks: Numbers) -> None:
    """Put the mesh's marks on the texts, of all or of the ones at `places`, that it finds."""
    if callable(mesh.hint):
        here = mesh.hint(numerals)
    else:
        here = numerals.matching(mesh.hint, places)
    marks[here] |= mesh.mark
    for finer in mesh.finer if len(here) else ():
        _sift(numerals, here, finer, marks)


@cache
def tables() -> tuple[Numbers, Numbers, Numbers]:
    """For `entitykernels.telling`: what each byte is, and what finds the words that announce a telephone number, and
    those that name it."""
    import numpy as np

    kinds: Numbers = np.zeros(256, dtype=np.uint32)
    for kind, characters in (
        (entitykernels.DIGIT, digits), (entitykernels.HEX, hexdigits), (entitykernels.CAPITAL, ascii_uppercase),
        (entitykernels.LETTER, ascii_letters), (entitykernels.SPACE, whitespace), (entitykernels.SIGN, "@"),
        (entitykernels.COLON, ":"), (entitykernels.WORD, ascii_letters.replace("x", "").replace("e", "")),
        (entitykernels.EDGE, telephones.EDGE),
        (entitykernels.BETWEEN, telephones.BETWEEN), (entitykernels.JOINT, accounts.JOINT),
        (entitykernels.SAID, telephones.JOINTS), (entitykernels.FIRST, accounts.FIRST),
        (entitykernels.INNER, accounts.INNER),
    ):  # fmt: skip
        kinds |= np.where(signs(characters), np.uint32(kind), np.uint32(0))
    kinds[list(NUMERALS)] |= np.uint32(entitykernels.NUMERAL)
    return kinds, automaton(telephones.ALL_STEMS), automaton(telephones.NAMES)


NUMERALS = b"\xd9\xdb\xdf\xe0\xe1\xea\xef\xf0"
"""What digits beyond ASCII begin with in UTF-8."""
CASED = "İ", "ı", "ſ", "\u212a"
"""What is equal to a letter of ASCII where case is ignored."""


def automaton(words: Sequence[str]) -> Numbers:
    """By state and byte of UTF-8 the next state (Aho and Corasick's): entitykernels.FOUND behind one of the words, in
    capitals too, and behind one of CASED."""
    import numpy as np

    written = {form.encode().lower() for word in words for form in (word, word.upper())}
    written |= {letter.encode() for letter in CASED}
    written = {word for word in written if not any(each in word for each in written - {word})}
    heads = sorted({word[:end] for word in written for end in range(len(word))}, key=len)
    number = {head: state for state, head in enumerate(heads)} | dict.fromkeys(written, entitykernels.FOUND)
    longer: dict[bytes, list[bytes]] = {}
    for each in number:
        longer.setdefault(each[:-1], []).append(each)
    states: Numbers = np.zeros((len(heads), 256), dtype=np.uint8)
    for state, head in enumerate(heads):
        # Another word may begin within this one: the rows of shorter heads are complete.
        states[state] = states[next((number[head[at:]] for at in range(1, len(head)) if head[at:] in number), 0)]
        for each in longer[head]:
            if each:
                states[state, list({each[-1], *each[-1:].upper()})] = number[each]
    return states
