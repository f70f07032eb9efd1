"""What is wrong with a query, and where."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

from lading.model.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_TEXT = 65_536  # bytes and characters of a query
MAX_TERMS = 2_000
MAX_DEPTH = 100
MAX_LIST = 10_000
_SNIPPET = 100  # characters of the line that are shown


class At(NamedTuple):
    """A place in a query's text; what a tree remembers of where it was read. `text` is shared, not copied."""

    text: str
    offset: int

    @property
    def line(self) -> int:
        return self.text.count("\n", 0, self.offset) + 1

    @property
    def column(self) -> int:
        """In characters, from 1."""
        return self.offset - self.text.rfind("\n", 0, self.offset)

    def snippet(self) -> str:
        """The line and, below it, a caret at the place. What can't be printed is shown as '·', so that the caret
        fits."""
        start = self.text.rfind("\n", 0, self.offset) + 1
        end = self.text.find("\n", self.offset)
        left = max(start, self.offset - _SNIPPET // 2)
        line = self.text[left : min(left + _SNIPPET, len(self.text) if end < 0 else end)]
        shown = "".join(c if c.isprintable() else "·" for c in line)
        return f"{shown}\n{' ' * (self.offset - left)}^"


class QueryError(InvalidRequest):
    """A query that can't be understood. Nothing was searched.

    `details` has `line` and `column` (from 1, in characters) and `snippet` where the text is known, `expected` (words
    for people) where syntax is wrong, and `suggestion` where something close by would be right.
    """

    def __init__(
        self, message: str, at: At | None = None, *, expected: Sequence[str] = (), suggestion: str | None = None
    ) -> None:
        self.reason = message
        self.line = at.line if at else None
        self.column = at.column if at else None
        self.expected = tuple(expected)
        self.suggestion = suggestion
        details: dict[str, object] = {"line": self.line, "column": self.column, "snippet": at.snippet() if at else None}
        details |= {"expected": list(expected) or None, "suggestion": suggestion}
        where = f"line {self.line}, column {self.column}: " if at else ""
        super().__init__(where + message, **{k: v for k, v in details.items() if v is not None})


def closest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` was probably meant to be."""
    names = list(known)
    folded = word.lower()
    return next((n for n in names if n.lower() == folded), None) or next(
        iter(difflib.get_close_matches(word, names, n=1)), None
    )


def either(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
