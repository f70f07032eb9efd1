"""The operands of the language: what is written to `Literal`, and back."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ..moments import parse_either, show_date, show_time
from ..quantities import MAX_INT, MIN_INT, parse_size, parse_span, show_size, show_span
from .errors import QueryError
from .tree import Literal, LiteralKind

if TYPE_CHECKING:
    from .errors import At

KEYWORDS = frozenset(["and", "or", "not", "in", "between", "like", "exists", "missing", "true", "false", "now"])
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.S)
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
_QUOTED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def unquote(quoted: str, at: At) -> str:
    """What a quoted text says. `\\\\ \\" \\' \\n \\r \\t \\uXXXX` are escapes; before anything else a backslash is
    itself, so that globs and regular expressions need no doubled ones. Raises QueryError for a NUL and for half a
    character."""
    inner = quoted[1:-1]
    if "\\" not in inner:
        return inner
    plain = _ESCAPE.sub(_unescape, inner)
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in plain):
        raise QueryError("text can't hold a NUL or half a character (write what is beyond \\uFFFF as it is)", at)
    return plain


def _unescape(found: re.Match[str]) -> str:
    escape = found[1]
    return chr(int(escape[1:], 16)) if len(escape) > 1 else _PLAIN.get(escape, found[0])


def quote(plain: str) -> str:
    """`plain` in double quotes, printable; `unquote` takes it back."""
    return '"' + "".join(_quoted(c) for c in plain) + '"'


def _quoted(c: str) -> str:
    return _QUOTED.get(c) or (c if c.isprintable() or ord(c) > 0xFFFF else f"\\u{ord(c):04x}")


def text(written: str, at: At) -> Literal:
    return Literal(LiteralKind.TEXT, unquote(written, at), at)


def truth(written: str, at: At) -> Literal:
    return Literal(LiteralKind.BOOL, written.lower() == "true", at)


def number(written: str, at: At) -> Literal:
    """Raises QueryError for integers beyond 64 bits and for floats beyond the largest."""
    if written.lstrip("+-").isdigit():
        whole = int(written) if len(written) <= 64 else MAX_INT + 1
        if not MIN_INT <= whole <= MAX_INT:
            raise QueryError(f"{written[:40]} is beyond 64 bits: whole numbers go from -2^63 to 2^63-1", at)
        return Literal(LiteralKind.NUMBER, whole, at)
    real = float(written) if len(written) <= 400 else math.inf
    if math.isinf(real):
        raise QueryError(f"{written[:40]} is larger than the largest number, about 1.8e308", at)
    return Literal(LiteralKind.NUMBER, real + 0.0, at)  # -0.0 + 0.0 is 0.0


def size(written: str, at: At) -> Literal:
    try:
        return Literal(LiteralKind.SIZE, parse_size(written), at)
    except ValueError as error:
        raise QueryError(str(error), at) from None


def moment(written: str, at: At) -> Literal:
    try:
        is_date, value = parse_either(written)
    except ValueError as error:
        raise QueryError(str(error), at) from None
    return Literal(LiteralKind.DATE if is_date else LiteralKind.TIME, value, at)


def now(sign: str, span: str, at: At) -> Literal:
    try:
        away = parse_span(span) if span else 0
    except ValueError as error:
        raise QueryError(str(error), at) from None
    return Literal(LiteralKind.NOW, -away if sign == "-" else away, at)


def written(literal: Literal) -> str:
    """The canonical way to write it."""
    value = literal.value
    match literal.kind:
        case LiteralKind.TEXT:
            return quote(str(value))
        case LiteralKind.BOOL:
            return "true" if value else "false"
        case LiteralKind.SIZE:
            return show_size(int(value))
        case LiteralKind.DATE:
            return show_date(int(value))
        case LiteralKind.TIME:
            return show_time(int(value))
        case LiteralKind.NOW:
            return f"now {'-' if int(value) < 0 else '+'} {show_span(abs(int(value)))}" if value else "now"
        case LiteralKind.NUMBER:
            return repr(value)
