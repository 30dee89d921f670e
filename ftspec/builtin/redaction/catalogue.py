"""All entities by name, in the order in which a text is searched for them: what has the clearer shape first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from ftspec.builtin.redaction import names as called
from ftspec.builtin.redaction.entities import Entity
from ftspec.builtin.redaction.sieve import Mesh, Sieve

SECRETS: tuple[str, ...] = get_args(called.Secret)
IDENTITIES: tuple[str, ...] = get_args(called.Identity)
ORDER = tuple(
    dict.fromkeys((*SECRETS, "email", "iban", "cn_ric", "fr_insee", "card", "ip", *IDENTITIES, "phone"))
)  # fmt: skip
GROUPS: dict[str, tuple[str, ...]] = {
    "secrets": SECRETS,
    "national_id": IDENTITIES,
    "pii": tuple(name for name in ORDER if name not in SECRETS),
}


def chosen(names: Iterable[str]) -> list[tuple[str, Entity]]:
    """The named entities, groups spelt out, in ORDER."""
    wanted = {each for name in names for each in GROUPS.get(name, (name,))}
    return [(name, _entity(name)) for name in ORDER if name in wanted]


def _entity(name: str) -> Entity:
    """What nobody asks for is not imported: patterns take long to compile."""
    if name in SECRETS:
        from ftspec.builtin.redaction import credentials

        return credentials.ENTITIES[name]
    if name in IDENTITIES:
        from ftspec.builtin.redaction import identities

        return identities.ENTITIES[name]
    from ftspec.builtin.redaction import accounts, contacts, telephones

    return {**contacts.ENTITIES, **accounts.ENTITIES, **telephones.ENTITIES}[name]


def sieve(names: Iterable[str]) -> Sieve:
    """What finds the named entities, groups spelt out.

    A text with a secret is looked through for everything: what stands right behind one may begin only once it is blank.
    """
    wanted = chosen(names)
    everything = 1 << len(wanted)
    marks = {name: everything if name in GROUPS["secrets"] else 1 << bit for bit, (name, _) in enumerate(wanted)}
    alone = {name: Mesh(entity.hint, marks[name], entity.telling) for name, entity in wanted}
    national = {name: mesh for name, mesh in alone.items() if name in GROUPS["national_id"]}
    others = [mesh for name, mesh in alone.items() if name not in national]
    if not national:
        return Sieve(wanted, others)
    wide = _any_of(entity.wide for name, entity in wanted if name in national)
    hints = _any_of(str(mesh.hint) for mesh in national.values())
    return Sieve(wanted, [*others, Mesh(wide, finer=[Mesh(hints, finer=list(national.values()))])])


def _any_of(patterns: Iterable[str]) -> str:
    return "|".join(dict.fromkeys(patterns))
