"""Patterns as automata: matching in time linear in the text, whatever the pattern. Python's `re` backtracks, and can
take for ever even on patterns without nested quantifiers (`.*.*.*.*x`).

A pattern is a tree of `Chars`, `Anchor`, `Sequence_`, `Choice` and `Repeat`, made by `regex` and `glob`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

MAX_STATES = 1_000
_MEMO = 4_096


@dataclass(frozen=True, slots=True)
class Chars:
    """One character that lies in one of `ranges` (both ends included), or, `negated`, in none."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def __contains__(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) is not self.negated


ANY = Chars((), negated=True)


class Anchor(Enum):
    START = "^"
    END = "$"


@dataclass(frozen=True, slots=True)
class Sequence_:
    items: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    items: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    item: Pattern
    least: int
    most: int | None


Pattern: TypeAlias = Chars | Anchor | Sequence_ | Choice | Repeat


def states(pattern: Pattern) -> int:
    """How large the automaton becomes; to be held against `MAX_STATES` before one is made."""
    match pattern:
        case Sequence_() | Choice():
            return 1 + sum(states(i) for i in pattern.items)
        case Repeat():
            return (states(pattern.item) + 1) * max(1, pattern.most or pattern.least + 1)
    return 1


class Automaton:
    """Thompson's construction, run on sets of states that are remembered. Not for two threads at once."""

    def __init__(self, pattern: Pattern) -> None:
        self._steps: list[tuple[Chars | Anchor | None, list[int]]] = [(None, [])]  # 0 is the accepting state
        self._start = self._add(pattern, 0)
        self._memo: dict[tuple[frozenset[int], str, bool], frozenset[int]] = {}

    def search(self, text: str) -> bool:
        """True when the pattern matches somewhere in `text`."""
        last = len(text) - 1
        now = self._closure([self._start], at_start=True, at_end=not text)
        for i, char in enumerate(text):
            if 0 in now:
                return True
            key = (now, char, i == last)
            found = self._memo.get(key)
            if found is None:
                if len(self._memo) >= _MEMO:
                    self._memo.clear()
                found = self._memo[key] = self._next(*key)
            now = found
        return 0 in now

    def _new(self, what: Chars | Anchor | None, then: list[int]) -> int:
        self._steps.append((what, then))
        return len(self._steps) - 1

    def _add(self, pattern: Pattern, then: int) -> int:
        """The state from which `pattern` leads to the state `then`."""
        match pattern:
            case Sequence_():
                for item in reversed(pattern.items):
                    then = self._add(item, then)
                return then
            case Choice():
                return self._new(None, [self._add(i, then) for i in pattern.items])
            case Repeat():
                if pattern.most is None:
                    loop = self._new(None, [then])
                    self._steps[loop][1].append(self._add(pattern.item, loop))
                    then = loop
                else:
                    for _ in range(pattern.most - pattern.least):
                        then = self._new(None, [then, self._add(pattern.item, then)])
                for _ in range(pattern.least):
                    then = self._add(pattern.item, then)
                return then
        return self._new(pattern, [then])

    def _next(self, now: frozenset[int], char: str, at_end: bool) -> frozenset[int]:
        reached = [self._start]  # a match may begin anywhere
        for state in now:
            what, then = self._steps[state]
            if isinstance(what, Chars) and char in what:
                reached += then
        return self._closure(reached, at_start=False, at_end=at_end)

    def _closure(self, todo: list[int], *, at_start: bool, at_end: bool) -> frozenset[int]:
        """The states reached without reading a character."""
        seen: set[int] = set()
        while todo:
            state = todo.pop()
            if state in seen:
                continue
            seen.add(state)
            what, then = self._steps[state]
            free = what is None or (what is Anchor.START and at_start) or (what is Anchor.END and at_end)
            if free:
                todo += then
        return frozenset(seen)
