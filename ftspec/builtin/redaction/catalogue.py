"""All entities by name, in the order in which a text is searched for them: what has the clearer shape first."""

from __future__ import annotations

from collections.abc import Iterable

from ftspec.builtin.redaction import accounts, contacts, credentials, identities, telephones
from ftspec.builtin.redaction.entities import Entity
from ftspec.builtin.redaction.sieve import Mesh, Sieve

ENTITIES: dict[str, Entity] = {
    **credentials.ENTITIES,
    "email": contacts.ENTITIES["email"],
    "iban": accounts.ENTITIES["iban"],
    "cn_ric": identities.ENTITIES["cn_ric"],
    "fr_insee": identities.ENTITIES["fr_insee"],
    "card": accounts.ENTITIES["card"],
    "ip": contacts.ENTITIES["ip"],
    **{name: entity for name, entity in identities.ENTITIES.items() if name not in ("cn_ric", "fr_insee")},
    "phone": telephones.ENTITIES["phone"],
}
GROUPS: dict[str, tuple[str, ...]] = {
    "secrets": tuple(credentials.ENTITIES),
    "national_id": tuple(identities.ENTITIES),
    "pii": tuple(name for name in ENTITIES if name not in credentials.ENTITIES),
}


def chosen(names: Iterable[str]) -> list[tuple[str, Entity]]:
    """The named entities, groups spelt out, in the order of ENTITIES."""
    wanted = {each for name in names for each in GROUPS.get(name, (name,))}
    return [(name, entity) for name, entity in ENTITIES.items() if name in wanted]


def sieve(names: Iterable[str]) -> Sieve:
    """What finds the named entities, groups spelt out.

    A text with a secret is looked through for everything: what stands right behind one may begin only once it is blank.
    """
    wanted = chosen(names)
    everything = 1 << len(wanted)
    marks = {name: everything if name in GROUPS["secrets"] else 1 << bit for bit, (name, _) in enumerate(wanted)}
    alone = {name: Mesh(entity.hint, marks[name]) for name, entity in wanted}
    national = {name: mesh for name, mesh in alone.items() if name in GROUPS["national_id"]}
    others = [mesh for name, mesh in alone.items() if name not in national]
    if not national:
        return Sieve(wanted, others)
    wide = _any_of(entity.wide for name, entity in wanted if name in national)
    hints = _any_of(str(mesh.hint) for mesh in national.values())
    return Sieve(wanted, [*others, Mesh(wide, finer=[Mesh(hints, finer=list(national.values()))])])


def _any_of(patterns: Iterable[str]) -> str:
    return "|".join(dict.fromkeys(patterns))
