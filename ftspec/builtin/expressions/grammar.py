"""From the text of an expression to its tree. A fault says at which character, counted from 1.

::

    either     = both {"or" both}                   both  = negation {"and" negation}
    negation   = "not" negation | comparison        sum   = product {("+" | "-") product}
    comparison = sum {compare sum | ["not"] "in" sum | "is" ["not"] "null"}
    product    = sign {("*" | "/" | "%") sign}      sign  = "-" sign | place
    place      = atom {"." name | "[" literal "]"}
    atom       = number | text | "true" | "false" | name | name "(" either {"," either} ")" | "(" either ")" | list

A text stands in single or double quotes, and that quote is doubled inside; a backslash is an ordinary character.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

DEEPEST = 50
LONGEST = 10_000
COMPARE = ("==", "!=", "<", "<=", ">", ">=")
WORDS = {"and", "or", "not", "in", "is", "null", "true", "false"}
MEANT = {
    "=": "==", "===": "==", "<>": "!=", "&&": "and", "||": "or", "!": "not", "&": "and", "|": "or",
    "None": "null", "NULL": "null", "True": "true", "False": "false", "AND": "and", "OR": "or", "NOT": "not",
}  # fmt: skip
TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<text>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")|(?P<name>[^\W\d]\w*)"
    r"|(?P<mark>===|==|!=|<=|>=|<>|&&|\|\||[<>()\[\],.+\-*/%=!&|])"
)


class Fault(ValueError):
    """What is wrong, and at which character of the expression."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at, self.message = at, message

    def __str__(self) -> str:
        return f"character {self.at}: {self.message}"


class Node(msgspec.Struct, frozen=True):
    """A part of an expression.

    `what` is literal, list, column, call, field, item, not, minus, and, or, in, null, or an operator; `value` is the
    literal, the name or the key.
    """

    what: str
    at: int
    value: Any = None
    parts: tuple[Node, ...] = ()


class Token(msgspec.Struct, frozen=True):
    what: str
    text: str
    at: int


def parse(text: str) -> Node:
    """The tree. Raises Fault."""
    if len(text) > LONGEST:
        raise Fault(LONGEST, f"an expression has at most {LONGEST:,} characters")
    return _Parser(list(_tokens(text))).whole()


def columns(node: Node) -> Iterator[str]:
    """Every column that the expression names."""
    if node.what == "column":
        yield node.value
    for part in node.parts:
        yield from columns(part)


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = TOKEN.match(text, at)
        if not found:
            quote = text[at] in "'\""
            raise Fault(at + 1, "the text does not end" if quote else f"cannot read {text[at]!r} here")
        if found[0] in MEANT:
            raise Fault(at + 1, f"write '{MEANT[found[0]]}', not '{found[0]}'")
        yield Token(str(found.lastgroup), found[0], at + 1)
        at = found.end()
    yield Token("end", "", at + 1)


class _Parser:
    """One method per rule of the grammar."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.next, self.depth = tokens, 0, 0

    def whole(self) -> Node:
        made = self.either()
        if self.token.what != "end":
            raise Fault(self.token.at, f"'{self.token.text}' does not follow on what stands before it")
        return made

    def either(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Fault(self.token.at, f"more than {DEEPEST} levels deep")
        made = self._left(self.both, ("or",))
        self.depth -= 1
        return made

    def both(self) -> Node:
        return self._left(self.negation, ("and",))

    def negation(self) -> Node:
        nots = []
        while self._is("not"):
            nots.append(self._take())
        made = self.comparison()
        for token in reversed(nots):
            made = Node("not", token.at, parts=(made,))
        return made

    def comparison(self) -> Node:
        left = self.sum()
        found: list[Node] = []
        while True:
            token = self.token
            if token.what == "mark" and token.text in COMPARE:
                self._take()
                right = self.sum()
                found.append(Node(token.text, token.at, parts=(left, right)))
                left = right
            elif self._is("is"):
                found.append(self._null(left))
            elif self._is("in") or (self._is("not") and self.tokens[self.next + 1].text == "in"):
                found.append(self._in(left))
            else:
                break
        if not found:
            return left
        made = found[0]
        for each in found[1:]:
            made = Node("and", each.at, parts=(made, each))
        return made

    def _null(self, left: Node) -> Node:
        token = self._take()
        negated = self._is("not") and bool(self._take())
        self._expect("null", "after 'is' stands 'null' or 'not null'")
        made = Node("null", token.at, parts=(left,))
        return Node("not", token.at, parts=(made,)) if negated else made

    def _in(self, left: Node) -> Node:
        token = self.token
        negated = self._is("not") and bool(self._take())
        self._take()
        made = Node("in", token.at, parts=(left, self.sum()))
        return Node("not", token.at, parts=(made,)) if negated else made

    def sum(self) -> Node:
        return self._left(self.product, ("+", "-"))

    def product(self) -> Node:
        return self._left(self.sign, ("*", "/", "%"))

    def sign(self) -> Node:
        signs = []
        while self._is("-"):
            signs.append(self._take())
        made = self.place()
        for token in reversed(signs):
            number = made.what == "literal" and isinstance(made.value, float)
            made = Node("literal", token.at, -made.value) if number else Node("minus", token.at, parts=(made,))
        return made

    def place(self) -> Node:
        made = self.atom()
        while self._is(".") or self._is("["):
            token = self._take()
            if token.text == ".":
                name = self._take()
                if name.what != "name":
                    raise Fault(name.at, "after '.' stands the name of a field")
                made = Node("field", token.at, name.text, (made,))
            else:
                key = self.sign()
                if key.what != "literal" or isinstance(key.value, bool):
                    raise Fault(key.at, "between '[' and ']' stands a number or a text in quotes")
                self._expect("]", "']' is missing")
                made = Node("item", token.at, key.value, (made,))
        return made

    def atom(self) -> Node:
        token = self._take()
        if token.what == "number":
            return Node("literal", token.at, self._number(token))
        if token.what == "text":
            return Node("literal", token.at, token.text[1:-1].replace(token.text[0] * 2, token.text[0]))
        if token.text in ("true", "false"):
            return Node("literal", token.at, token.text == "true")
        if token.text == "null":
            raise Fault(token.at, "whether there is a value is asked with 'is null' and 'is not null'")
        if token.what == "name" and token.text not in WORDS:
            if self._is("("):
                self._take()
                return Node("call", token.at, token.text, self._several(")"))
            return Node("column", token.at, token.text)
        if token.text == "(":
            made = self.either()
            self._expect(")", "')' is missing")
            return made
        if token.text == "[":
            return Node("list", token.at, parts=self._several("]"))
        raise Fault(token.at, f"a value is missing before '{token.text}'" if token.text else "a value is missing here")

    @staticmethod
    def _number(token: Token) -> float:
        value = float(token.text)
        if math.isinf(value):
            raise Fault(token.at, "this number is too large: numbers are 64-bit floats, up to 1.8e308")
        return value

    def _several(self, end: str) -> tuple[Node, ...]:
        """Values up to a closing mark, with commas between them."""
        found: list[Node] = []
        while not self._is(end):
            found.append(self.either())
            if not self._is(end):
                self._expect(",", f"',' or '{end}' is missing")
        self._take()
        return tuple(found)

    def _left(self, inner: Callable[[], Node], operators: tuple[str, ...]) -> Node:
        """Operators of one strength, from left to right."""
        made = inner()
        while self.token.what != "text" and self.token.text in operators:
            token = self._take()
            made = Node(token.text, token.at, parts=(made, inner()))
        return made

    @property
    def token(self) -> Token:
        return self.tokens[self.next]

    def _is(self, text: str) -> bool:
        return self.token.what != "text" and self.token.text == text

    def _take(self) -> Token:
        token = self.token
        self.next = min(self.next + 1, len(self.tokens) - 1)
        return token

    def _expect(self, text: str, message: str) -> None:
        if not self._is(text):
            raise Fault(self.token.at, message)
        self._take()
