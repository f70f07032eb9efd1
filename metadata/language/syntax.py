"""What to tell a person whose query can't be read: what was expected, and what was probably meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lading.model.lfn import shown

from .errors import At, QueryError, closest, either
from .literals import quote

if TYPE_CHECKING:
    from collections.abc import Collection

_VALUE = "a value (text in quotes, a number, a size, a date, now, true or false)"
_OPERATORS = "an operator (= != < <= > >= in between like ~ exists missing, or not before in, between, like)"
# What a terminal stands for, the most telling first: where COMPARE can stand, so can all other operators.
_PHRASES = {
    "COMPARE": _OPERATORS,
    "NUMBER": _VALUE,
    "INDEX": "a number or a key in quotes",
    "STRING": "text in quotes",
    "SPAN": "a span of time such as 7d (units s m h d w)",
    "RSQB": "']'",
    "LIKE": "'in', 'between' or 'like'",
}
_OPERATOR_WORDS = ("in", "between", "like", "exists", "missing", "not")
_JOINING_WORDS = ("and", "or")
_WORD = re.compile(
    r"""\"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*'|[^\s()\[\]"',=<>!~&|]+|&&|\|\||[=<>!~&|]+|.""", re.S
)
_HINTS = {
    "==": "equality is written with one =",
    "<>": "write != for 'differs from'",
    "=<": "write <=",
    "=>": "write >=",
    "&&": "write and",
    "||": "write or",
    "!": "write not",
    "is": "write 'NAME exists' or 'NAME missing'",
    "contains": 'write like "*text*"',
    "null": "write 'NAME missing' for no value",
    "none": "write 'NAME missing' for no value",
    "nan": "there is no NaN and no infinity; write 'NAME missing' for no value",
    "inf": "there is no NaN and no infinity",
    "infinity": "there is no NaN and no infinity",
}


def explain(at: At, expected: Collection[str], depth: int, within: str) -> QueryError:
    """The error at a place where one of the terminals `expected` should have stood, inside `depth` parentheses, and
    `within` the operands of an "in" or a "between"."""
    terminals = set(expected)
    words = _expected(terminals, depth, within)
    found = _WORD.match(at.text, at.offset) if at.text[at.offset :].strip() else None
    word = found[0] if found else ""
    hint, suggestion = _hint(at, word, terminals)
    reason = f"expected {either(words)}, found {_shown(word)}"
    return QueryError(f"{reason}; {hint}" if hint else reason, at, expected=words, suggestion=suggestion)


def _expected(terminals: set[str], depth: int, within: str) -> list[str]:
    if "NAME" in terminals:
        return ["a field name", "not", "'('"]
    for terminal, phrase in _PHRASES.items():
        if terminal in terminals:
            return [phrase]
    # What the parser has closed on the way here is no longer among its expectations: go by what is open.
    if within == "between":
        return ["'and'"]
    if within == "in":
        return ["'('"] if terminals == {"LPAR"} else ["','", "')'"]
    return ["'and'", "'or'", "')'" if depth > 0 else "the end of the query"]


def _hint(at: At, word: str, expected: set[str]) -> tuple[str, str | None]:
    """What to do, and the word to write instead; either may be nothing."""
    low, before = word.lower(), at.text[: at.offset][-1:]
    if word in ('"', "'"):
        return "this text has no closing quote", None
    if word and word[0] in "“”„‘’«»`":
        return "text goes between straight quotes, \" or '", None
    if before + word[:1] in _HINTS and before in ("=", "<"):
        return _HINTS[before + word[:1]], None
    if low in _HINTS:
        return _HINTS[low], None
    if "NUMBER" in expected and re.fullmatch(r"[^\W\d][\w.*?/-]*", word) and word.isprintable():
        return f"text goes in quotes: {quote(word[:80])}", quote(word[:80])
    known = _OPERATOR_WORDS if "COMPARE" in expected else () if "NAME" in expected else _JOINING_WORDS
    close = closest(word, known) if word.isalpha() else None
    return (f"did you mean {close}?", close) if close and close != low else ("", None)


def _shown(word: str) -> str:
    if not word:
        return "the end of the query"
    short = word if len(word) <= 40 else word[:40] + "…"
    if not short.isprintable():
        return f'"{shown(short)}"'
    return short if word[0] in "\"'" and len(word) > 1 else quote(short)
