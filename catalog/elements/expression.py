r"""Choosing storage elements by an expression: `country=FR & type=disk \ se=old-*`.

A bare word is an element's name, or with `*?[]` a pattern of names. Values may be patterns too, and quoted. `&` both,
`\` but not, `|` either, `!` not, and brackets; `&` and `\` bind before `|`, unlike in Rucio, where all bind alike.
Placeholders, which imports make of storages that nobody has added, are never chosen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from lark import Lark, Transformer, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError

from lading.model.errors import InvalidRequest
from lading.model.lfn import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .service import Element

MAX_TEXT = 1000
MAX_DEPTH = 50
_UNITS = {"": 1, "b": 1} | {
    unit: base**power
    for power, letter in enumerate("kmgtpe", 1)
    for unit, base in ((letter, 1000), (f"{letter}b", 1000), (f"{letter}ib", 1024))
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmgtpe]?i?b?)", re.IGNORECASE)
_WORDS = {"=": "is", "!=": "is not"}
_NUMBERS = ("free", "cost")
UNBOUNDED = float("inf")

if TYPE_CHECKING:
    Free = Mapping[int, float]
    Test = Callable[[Element, Free], bool]


@dataclass(frozen=True, slots=True)
class Expression:
    """`asks_free`: it needs to be told what is free."""

    text: str
    test: Any
    asks_free: bool

    def select(self, elements: Iterable[Element], free: Free | None = None) -> list[Element]:
        """Those that fit, by name. `free` has the bytes left by element id; what is not in it has no limit."""
        fits: Test = self.test
        return sorted((e for e in elements if not e.placeholder and fits(e, free or {})), key=lambda e: e.name)


@lru_cache(maxsize=1000)
def parse(text: str) -> Expression:
    """Raises InvalidRequest, saying where it stops making sense and what would do there."""
    if len(text) > MAX_TEXT:
        raise InvalidRequest(f"an element expression has at most {MAX_TEXT} characters")
    if text.count("(") + text.count("!") > MAX_DEPTH:  # each is a call in a call when it is asked
        raise InvalidRequest(f"an element expression has at most {MAX_DEPTH} brackets and '!'")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        at = len(text) if ended else error.pos_in_stream or 0
        raise InvalidRequest(_told(text, at), position=at) from None
    build = _Build()
    try:
        test = build.transform(tree)
    except VisitError as error:
        raise error.orig_exc from None
    return Expression(text, test, build.asks_free)


def _told(text: str, at: int) -> str:
    rest = text[at : at + 20].split()
    where = f"at '{shown(rest[0], 20)}'" if rest else "at its end"
    return (
        f"'{shown(text, 100)}' is no element expression: {where} it should have an element's name, or a test such as"
        r" country=FR, joined by & (both), | (either) or \ (but not)"
    )


@cache
def _parser() -> Lark:
    grammar = files(__package__).joinpath("expression.lark").read_text()
    return Lark(grammar, parser="lalr", propagate_positions=False, maybe_placeholders=False)


class _Build(Transformer[Any, Any]):
    def __init__(self) -> None:
        super().__init__()
        self.asks_free = False

    def any(self, tests: list[Test]) -> Test:
        return lambda e, free: any(test(e, free) for test in tests)

    def all(self, tests: list[Test]) -> Test:
        return lambda e, free: all(test(e, free) for test in tests)

    def and_(self, tests: list[Test]) -> Test:
        return tests[0]

    def without(self, tests: list[Test]) -> Test:
        return self.complement(tests)

    def complement(self, tests: list[Test]) -> Test:
        (test,) = tests
        return lambda e, free: not test(e, free)

    def named(self, tokens: list[str]) -> Test:
        pattern = _plain(tokens[0])
        return lambda e, _: fnmatchcase(e.name, pattern)

    def test(self, tokens: list[str]) -> Test:
        key, compare, value = str(tokens[0]), str(tokens[1]), _plain(tokens[2])
        if key in _NUMBERS:
            return self._number(key, compare, value)
        if compare not in _WORDS:
            raise InvalidRequest(f"'{key}{compare}{value}': only free and cost can be more or less: use = or !=")
        wanted = compare == "="
        return lambda e, _: any(fnmatchcase(found, value) for found in _values(e, key)) is wanted

    def _number(self, key: str, compare: str, value: str) -> Test:
        found = _SIZE.fullmatch(value)
        unit = _UNITS.get(found[2].lower()) if found else None
        if found is None or unit is None:
            told = "it should be a number, with a unit if you like: 500, 10TB, 2GiB"
            raise InvalidRequest(f"'{key}{compare}{value}': {told}")
        limit = float(found[1]) * unit
        holds = _COMPARE[compare]
        if key == "cost":
            return lambda e, _: holds(e.cost, limit)
        self.asks_free = True
        return lambda e, free: holds(free.get(e.id, UNBOUNDED), limit)


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def _plain(token: str) -> str:
    text = str(token)
    return text[1:-1] if text[:1] in "\"'" else text


def _values(element: Element, key: str) -> tuple[str, ...]:
    """What an element has under a key; `type` is its plug-in's, and disk or tape."""
    match key:
        case "se" | "name":
            return (element.name,)
        case "tag":
            return tuple(element.tags)
        case "type":
            return element.type, element.medium
        case _:
            value = getattr(element, key)
            return () if value is None else (value,)
