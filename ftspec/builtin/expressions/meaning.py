"""What fits together in an expression, as far as that can be told before a row is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from ftspec import rows
from ftspec.builtin.expressions.grammar import COMPARE, Fault, Node

Kind = Literal["text", "number", "truth", "any"]
"""What a part of an expression is; "any" is what only the rows can tell."""

TITLES = {"text": "a text", "number": "a number", "truth": "true or false", "any": "a value"}


class Function(msgspec.Struct, frozen=True):
    """A function's result, and what it takes: at least `least` values, of which the `given` are texts in quotes."""

    gives: Kind
    least: int = 1
    most: int = 1
    given: tuple[int, ...] = ()
    wanted: str = "a column"


FUNCTIONS: dict[str, Function] = {
    "len": Function("number"),
    "words": Function("number"),
    "count": Function("number", most=2, given=(1,), wanted="a column, or a column of messages and a role"),
    "calls": Function("number", wanted="a column of messages"),
    "text": Function("text"),
    "lower": Function("text"),
    "strip": Function("text"),
    "number": Function("number"),
    "first": Function("text", most=2, given=(1,), wanted="a column of messages, and a role"),
    "last": Function("text", most=2, given=(1,), wanted="a column of messages, and a role"),
    "roles": Function("text", wanted="a column of messages"),
    "contains": Function("truth", least=2, most=2, given=(1,), wanted="a column and a text in quotes"),
    "starts_with": Function("truth", least=2, most=2, given=(1,), wanted="a column and a text in quotes"),
    "ends_with": Function("truth", least=2, most=2, given=(1,), wanted="a column and a text in quotes"),
    "matches": Function("truth", least=2, most=2, given=(1,), wanted="a column and an RE2 pattern in quotes"),
}


def check(node: Node) -> None:
    """Raise Fault unless the whole is a condition, and its parts fit."""
    _demand(node, "truth", "a condition")


def kind(node: Node) -> Kind:
    """What the part is. Raises Fault for what does not fit."""
    return KINDS[node.what](node)


def _literal(node: Node) -> Kind:
    if isinstance(node.value, bool):
        return "truth"
    return "text" if isinstance(node.value, str) else "number"


def _column(node: Node) -> Kind:
    if rows.fault({node.value: None}):
        raise Fault(node.at, f"'{node.value}' is one of ftspec's own columns")
    return "any"


def _inside(node: Node) -> Kind:
    inner = kind(node.parts[0])
    if inner != "any":
        raise Fault(node.at, f"{TITLES[inner]} has no fields")
    return "any"


def _list(node: Node) -> Kind:
    raise Fault(node.at, "a list stands after 'in'")


def _logic(node: Node) -> Kind:
    for part in node.parts:
        _demand(part, "truth", f"what '{node.what}' takes")
    return "truth"


def _arithmetic(node: Node) -> Kind:
    for part in node.parts:
        _demand(part, "number", f"what '{'-' if node.what == 'minus' else node.what}' takes")
    return "number"


def _null(node: Node) -> Kind:
    kind(node.parts[0])
    return "truth"


def _comparison(node: Node) -> Kind:
    left, right = map(kind, node.parts)
    if "any" not in (left, right) and left != right:
        raise Fault(node.at, f"{TITLES[left]} cannot be compared with {TITLES[right]}")
    if "truth" in (left, right) and node.what not in ("==", "!="):
        raise Fault(node.at, f"true and false have no order: '{node.what}' takes numbers or texts")
    return "truth"


def _in(node: Node) -> Kind:
    left, right = node.parts
    inner = kind(left)
    if right.what == "list":
        if not right.parts:
            raise Fault(right.at, "the list is empty")
        for part in right.parts:
            if part.what != "literal":
                raise Fault(part.at, "a list holds texts in quotes and numbers")
            if inner not in ("any", kind(part)) or kind(part) != kind(right.parts[0]):
                raise Fault(part.at, "the values of a list are of one kind, that of what is looked for")
    elif left.what != "literal" or inner == "truth":
        raise Fault(left.at, "what is looked for in a column is a text in quotes or a number")
    elif kind(right) not in ("text", "any"):
        raise Fault(right.at, f"nothing can be in {TITLES[kind(right)]}")
    return "truth"


def _call(node: Node) -> Kind:
    known = FUNCTIONS.get(node.value)
    if known is None:
        from difflib import get_close_matches

        near = get_close_matches(node.value, FUNCTIONS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(FUNCTIONS)}"
        raise Fault(node.at, f"no function '{node.value}': {hint}")
    if not known.least <= len(node.parts) <= known.most:
        raise Fault(node.at, f"'{node.value}' takes {known.wanted}")
    for index, part in enumerate(node.parts):
        if index in known.given and not (part.what == "literal" and isinstance(part.value, str)):
            raise Fault(part.at, f"'{node.value}' takes {known.wanted}")
        if index not in known.given:
            kind(part)
    if node.value == "matches" and (fault := rows.pattern_fault(node.parts[1].value)):
        raise Fault(node.parts[1].at, f"not an RE2 pattern: {fault}")
    return known.gives


def _demand(node: Node, wanted: Kind, what: str) -> None:
    found = kind(node)
    if found not in (wanted, "any"):
        raise Fault(node.at, f"{what} must be {TITLES[wanted]}, and this is {TITLES[found]}")


KINDS: dict[str, Callable[[Node], Kind]] = {
    "literal": _literal, "column": _column, "field": _inside, "item": _inside, "list": _list, "not": _logic,
    "and": _logic, "or": _logic, "minus": _arithmetic, "null": _null, "in": _in, "call": _call,
    **dict.fromkeys(("+", "-", "*", "/", "%"), _arithmetic), **dict.fromkeys(COMPARE, _comparison),
}  # fmt: skip
