"""A tree of names to a tree of fields: every name found, every operator known to its type, every operand in stored
form."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from lading.model import lfn
from lading.model.errors import InvalidRequest
from lading.model.field import FieldType

from ..operators import BY_TYPE
from ..standard import ALIASES, STANDARD, StandardField, find
from .errors import MAX_TERMS, At, QueryError, closest
from .glob import parse_glob
from .operands import Reader, Span
from .regex import RegexError, portable
from .tree import And, Bound, LiteralKind, Node, Not, Op, Or, Related, Relation, Test, check_height
from .undeclared import hint, is_undeclared, undeclared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.model.field import Field


class _Scope(NamedTuple):
    fields: Mapping[str, Field]
    now: int
    undeclared: bool


def bind(tree: Node, fields: Mapping[str, Field], *, now: int | None = None, undeclared: bool = False) -> Node:
    """The tree with `Bound` leaves, ready to be run. Standard fields are known without being in `fields`.

    `now`, in microseconds since the epoch, is what relative times count from; by default the clock. A dotted name is
    the declared field of that full name, else the longest declared one before a dot, of type json, and a path into it.
    `undeclared`: there may be keys that no field declares (see `undeclared`).
    Raises QueryError, with the place where the tree knows it: for an unknown field (with a suggestion), an operator
    that the type has not, an operand of another type, a bad pattern.
    """
    moment = time.time_ns() // 1000 if now is None else now
    return _bind(check_height(tree), _Scope(fields, moment, undeclared))


def _bind(node: Node, scope: _Scope) -> Node:
    match node:
        case And():
            return And(tuple(_bind(i, scope) for i in node.items))
        case Or():
            return Or(tuple(_bind(i, scope) for i in node.items))
        case Not():
            return Not(_bind(node.item, scope))
        case Test():
            return _test(node, scope)
        case Related():
            return Related(node.relation, _target(node), node.at)
    return node


def _target(node: Related) -> str:
    if node.relation in (Relation.ANCESTOR, Relation.DESCENDANT):
        try:
            return lfn.parse(node.target)
        except InvalidRequest as error:
            raise QueryError(error.message, node.at) from None
    if not node.target or not node.target.isprintable() or len(node.target.encode()) > lfn.MAX_PATH:
        raise QueryError(f"'{lfn.shown(node.target)}' names no dataset and no snapshot", node.at)
    return node.target


def _test(test: Test, scope: _Scope) -> Node:
    field, path = _find(test, scope)
    operators = field.operators if isinstance(field, StandardField) else BY_TYPE[field.type]
    if test.op not in operators:
        known = ", ".join(op.value for op in operators)
        raise QueryError(f"'{test.op.value}' can't be asked of {test.name}, {_type(field)}; it knows: {known}", test.at)
    negated = test.op.negated
    op, reader = test.op.positive, Reader(field, test, scope.now)
    if op is Op.EXISTS:
        return Bound(field, path, op, (), negated, test.at)
    if op in (Op.LIKE, Op.MATCH):
        return Bound(field, path, op, (_pattern(op, reader.text(test.values[0]), test),), negated, test.at)
    spans = [reader.span(v) for v in test.values]
    if op is Op.IN:
        return _in(Bound(field, path, op, (), negated, test.at), spans)
    if op is Op.BETWEEN:
        values: tuple[Any, ...] = _between(test, *spans)
    else:
        op, values = _compare(op, spans[0])
    return Bound(field, path, op, values, negated, test.at)


def _type(field: Field | StandardField) -> str:
    if isinstance(field, StandardField):
        return "a standard field"
    return "a field of JSON" if field.type is FieldType.JSON else f"a field of type {field.type.value}"


def _find(test: Test, scope: _Scope) -> tuple[Field | StandardField, tuple[str, ...]]:
    head, keys, fields = test.name, test.steps, scope.fields
    while True:
        field = fields.get(head) or find(head)
        if field is not None:
            break
        head, dot, key = head.rpartition(".")
        if not dot:
            if is_undeclared(test.name):
                field, keys = undeclared(test, fields, in_reach=scope.undeclared)
                break
            raise _unknown(test, scope)
        keys = (key, *keys)
    if keys and field.type is not FieldType.JSON:
        if head != test.name:
            raise _unknown(test, scope)
        raise QueryError(f"{head} is {_type(field)}: it has no parts to look into", test.at)
    if any("\0" in k for k in keys):
        raise QueryError("a NUL can't stand in a JSON key", test.at)
    return field, keys


def _unknown(test: Test, scope: _Scope) -> QueryError:
    close = closest(test.name, [*scope.fields, *STANDARD, *ALIASES])
    told = f"did you mean {close}?" if close else "'lading field ls' shows those there are"
    if scope.undeclared and (key := hint(test.name)):
        told += f" A key that nobody declared is {key}" if close else f"; a key that nobody declared is {key}"
    return QueryError(f"there is no field '{lfn.shown(test.name, 127)}'; {told}", test.at, suggestion=close)


def _pattern(op: Op, text: str, test: Test) -> str:
    """The glob as it is, the expression without its shorthands."""
    try:
        if op is Op.MATCH:
            return portable(text)
        parse_glob(text)
    except RegexError as error:
        what = "regular expression" if op is Op.MATCH else "glob"
        place = test.values[0].at
        if place and place.text[place.offset + 1 :].startswith(text):  # no escapes in the way: point into the text
            place = At(place.text, place.offset + 1 + min(error.offset, len(text)))
        raise QueryError(f"in this {what}, at character {error.offset + 1}: {error}", place) from None
    return text


def _compare(op: Op, span: Span) -> tuple[Op, tuple[Any, ...]]:
    if op is Op.EQ:
        return (op, (span.low,)) if span.low == span.high else (Op.BETWEEN, tuple(span))
    return op, (span.low if op in (Op.LT, Op.GE) else span.high,)


def _between(test: Test, first: Span, second: Span) -> tuple[Any, Any]:
    one, two = test.values
    if isinstance(first.low, str) is not isinstance(second.low, str):
        raise QueryError("the two ends of a between must be of one type", two.at)
    relative = LiteralKind.NOW in (one.kind, two.kind)  # right today, empty tomorrow: no error
    if not relative and min(first) > max(second):
        raise QueryError("a between goes from the smaller to the larger: change them round", one.at)
    return first.low, second.high


def _in(whole: Bound, spans: list[Span]) -> Node:
    """One `in` of the single values, and a `between` for each day."""
    points = tuple(dict.fromkeys((type(s.low), s.low) for s in spans if s.low == s.high))
    days = list(dict.fromkeys(s for s in spans if s.low != s.high))
    if len(days) > MAX_TERMS:
        raise QueryError(f"{whole.field.name}: at most {MAX_TERMS} days in a list; use between", whole.at)
    leaves = [
        Bound(whole.field, whole.path, op, values, whole.negated, whole.at)
        for op, values in (
            *([(Op.IN, tuple(v for _, v in points))] if points else []),
            *((Op.BETWEEN, tuple(d)) for d in days),
        )
    ]
    if len(leaves) == 1:
        return leaves[0]
    return And(tuple(leaves)) if whole.negated else Or(tuple(leaves))
