"""All entities by name, in the order in which a text is searched for them: what has the clearer shape first."""

from __future__ import annotations

from collections.abc import Iterable

from ftspec.builtin.redaction import accounts, contacts, credentials, identities
from ftspec.builtin.redaction.entities import Entity

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


def chosen(names: Iterable[str]) -> list[tuple[str, Entity]]:
    """The named entities, groups spelt out, in the order of ENTITIES."""
    wanted = {each for name in names for each in GROUPS.get(name, (name,))}
    return [(name, entity) for name, entity in ENTITIES.items() if name in wanted]


def prefilter(entities: Iterable[tuple[str, Entity]]) -> str:
    """One RE2 pattern that finds every text in which one of the entities can be."""
    return "|".join(dict.fromkeys(entity.hint for _, entity in entities))
