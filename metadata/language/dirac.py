"""DIRAC's metadata queries as trees: `{"F": value | [values] | {op: operand, ...} | "Any" | "Missing"}`, all of them to
hold. In a plain text `*` and `?` are wildcards, as in DIRAC; a list after `=` or `!=` means `in` or `not in`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lading.model.lfn import shown

from ..quantities import MAX_INT, MIN_INT
from .errors import MAX_LIST, MAX_TERMS, QueryError, closest
from .glob import escape
from .literals import KEYWORDS
from .parse import MAX_NAME
from .tree import Always, And, Literal, LiteralKind, Node, Op, Or, Test, check_height

if TYPE_CHECKING:
    from collections.abc import Mapping

# DIRAC's standard keys and what they are here. `Path` is a directory that holds the file, at any depth.
NAMES = {
    "SE": "se",
    "CreationDate": "ctime",
    "ModificationDate": "mtime",
    "User": "owner",
    "Group": "group",
    "Name": "name",
    "FileName": "name",
    "CheckSum": "checksum",
    "GUID": "guid",
    "Size": "size",
    "Status": "status",
}
_ABSENT = ("LastAccessDate", "UID", "GID")
_OPS = {
    "=": Op.EQ,
    "==": Op.EQ,
    "!=": Op.NE,
    "<": Op.LT,
    "<=": Op.LE,
    ">": Op.GT,
    ">=": Op.GE,
    "in": Op.IN,
    "nin": Op.NOT_IN,
    "like": Op.LIKE,
}


def from_dirac(query: Mapping[str, Any]) -> Node:
    """The tree; an empty query is everything. Raises QueryError, naming the key, for what is no such query."""
    if not isinstance(query, dict):
        raise QueryError("a DIRAC query is an object of fields")
    return _all([t for key, value in query.items() for t in _key(key, value)])


def _all(terms: list[Node]) -> Node:
    if not terms:
        return Always(True)
    if len(terms) > MAX_TERMS:
        raise QueryError(f"the query has more than {MAX_TERMS} terms")
    return check_height(terms[0] if len(terms) == 1 else And(tuple(terms)))


def _key(key: object, value: object) -> list[Node]:
    if not isinstance(key, str) or not _is_name(key):
        raise QueryError(f"{shown(str(key), 80)!a} can't name a field")
    if key in _ABSENT:
        raise QueryError(f"'{key}' is not kept here and can't be searched")
    if key == "Path":
        return [_below(value)]
    name = NAMES.get(key, key)
    if not isinstance(value, dict):
        return [_plain(name, value)]
    if not value:
        raise QueryError(f"'{name}': an empty object asks for nothing; write an operator, 'Any' or 'Missing'")
    return [_operation(name, op, operand) for op, operand in value.items()]


def _is_name(key: str) -> bool:
    plain = key.isascii() and key.replace("_", "a").replace(".", "a").replace("-", "a").isalnum()
    return plain and not (key[0].isdigit() or key[0] in ".-") and len(key) <= MAX_NAME and key.lower() not in KEYWORDS


def _plain(name: str, value: object) -> Node:
    if isinstance(value, list):
        return _list(name, Op.IN, value)
    if value == "Any":
        return Test(name, (), Op.EXISTS, ())
    if value == "Missing":
        return Test(name, (), Op.MISSING, ())
    if isinstance(value, str) and ("*" in value or "?" in value):
        return Test(name, (), Op.LIKE, (_glob(value),))
    return Test(name, (), Op.EQ, (_literal(name, value),))


def _operation(name: str, written: object, operand: object) -> Node:
    op = _OPS.get(written) if isinstance(written, str) else None
    if op is None:
        close = closest(str(written)[:40], _OPS)
        raise QueryError(
            f"'{name}': '{shown(str(written), 40)}' is no operator; there are {' '.join(_OPS)}", suggestion=close
        )
    if isinstance(operand, list):
        many = {Op.EQ: Op.IN, Op.NE: Op.NOT_IN}.get(op, op)
        if many not in (Op.IN, Op.NOT_IN):
            raise QueryError(f"'{name}': '{op.value}' takes one value, not a list")
        return _list(name, many, operand)
    if op in (Op.IN, Op.NOT_IN):
        return _list(name, op, [operand])
    if op is Op.LIKE:
        if not isinstance(operand, str):
            raise QueryError(f"'{name}': like takes text such as '*.nii'")
        return Test(name, (), op, (_glob(operand),))
    return Test(name, (), op, (_literal(name, operand),))


def _list(name: str, op: Op, values: list[Any]) -> Node:
    if not 1 <= len(values) <= MAX_LIST:
        raise QueryError(f"'{name}': a list has 1 to {MAX_LIST} values")
    return Test(name, (), op, tuple(_literal(name, v) for v in values))


def _below(value: object) -> Node:
    paths = value if isinstance(value, list) else [value]
    texts = [p for p in paths if isinstance(p, str) and p.startswith("/")]
    if not 1 <= len(paths) <= MAX_TERMS or len(texts) != len(paths):
        raise QueryError("'Path' is a directory such as /vo/data, or a list of them")
    tests = [Test("lfn", (), Op.LIKE, (_text(escape(p.rstrip("/")) + "/*"),)) for p in texts]
    return tests[0] if len(tests) == 1 else Or(tuple(tests))


def _glob(text: str) -> Literal:
    """DIRAC knows no classes and no escapes: only the two wildcards."""
    return _text(text.replace("\\", "\\\\").replace("[", "\\["))


def _text(text: str) -> Literal:
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise QueryError("text can't hold a NUL or half a character")
    return Literal(LiteralKind.TEXT, text)


def _literal(name: str, value: object) -> Literal:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return Literal(LiteralKind.BOOL, value)
    if isinstance(value, int) and MIN_INT <= value <= MAX_INT:
        return Literal(LiteralKind.NUMBER, value)
    if isinstance(value, float) and math.isfinite(value):
        return Literal(LiteralKind.NUMBER, value + 0.0)
    raise QueryError(f"'{name}': a value is text, true, false, a finite number or a whole number of 64 bits")
