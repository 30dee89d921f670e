"""All entities by name, in the order in which a text is searched for them: what has the clearer shape first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ftspec.builtin.redaction import accounts, contacts, credentials, identities
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
    "phone": contacts.ENTITIES["phone"],
}
GROUPS: dict[str, tuple[str, ...]] = {
    "secrets": tuple(credentials.ENTITIES),
    "national_id": tuple(identities.ENTITIES),
    "pii": tuple(name for name in ENTITIES if name not in credentials.ENTITIES),
}
KEYS = ("private_key", "jwt", "api_key")


def chosen(names: Iterable[str]) -> list[tuple[str, Entity]]:
    """The named entities, groups spelt out, in the order of ENTITIES."""
    wanted = {each for name in names for each in GROUPS.get(name, (name,))}
    return [(name, entity) for name, entity in ENTITIES.items() if name in wanted]


def sieve(names: Iterable[str]) -> Sieve:
    """What finds the named entities, groups spelt out.

    A text with a key is looked through for everything: what stands right behind a key is a word's end to RE2 only once
    the key is blank.
    """
    wanted = chosen(names)
    everything = 1 << len(wanted)
    marks = {name: everything if name in KEYS else 1 << bit for bit, (name, _) in enumerate(wanted)}
    alone = {name: Mesh(entity.hint, marks[name]) for name, entity in wanted}
    secrets = [mesh for name, mesh in alone.items() if name in GROUPS["secrets"]]
    national = [mesh for name, mesh in alone.items() if name in GROUPS["national_id"]]
    others = [mesh for mesh in alone.values() if mesh not in secrets and mesh not in national]
    personal = [*others, *([_together(national, national)] if national else [])]
    wide = [Mesh(entity.wide or entity.hint) for name, entity in wanted if name in GROUPS["pii"]]
    return Sieve(wanted, [*secrets, *([_together(wide, personal)] if personal else [])])


def _together(coarse: Iterable[Mesh], finer: Sequence[Mesh]) -> Mesh:
    """One question to all texts, several to those for which it is answered with yes."""
    pattern = "|".join(dict.fromkeys(mesh.pattern for mesh in coarse))
    return finer[0] if [pattern] == [mesh.pattern for mesh in finer] else Mesh(pattern, finer=finer)
