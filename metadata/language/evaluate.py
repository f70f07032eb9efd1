"""A bound tree held against one record, in plain Python: what the SQL must agree with, and what matches single
files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..standard import StandardField
from . import glob, regex
from .tree import Always, And, Bound, Node, Not, Op, Or, Related, Relation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_INDEX = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Record:
    """One file or directory. Values are in stored form; `own` ones go before those that are `inherited`. `standard`:
    see
    `metadata.standard`."""

    own: Mapping[str, Any] = field(default_factory=dict)
    inherited: Mapping[str, Any] = field(default_factory=dict)
    standard: Mapping[str, Any] = field(default_factory=dict)


def evaluate(tree: Node, record: Record, related: Callable[[Relation, str], bool] | None = None) -> bool:
    """True when the record is one of those the query asks for.

    `related` answers for `Related` leaves: is this record an ancestor of, in the dataset …, the target. Raises
    ValueError for a tree that was not bound, and when such a leaf is met without `related`.
    """
    match tree:
        case Always():
            return tree.value
        case And():
            return all(evaluate(i, record, related) for i in tree.items)
        case Or():
            return any(evaluate(i, record, related) for i in tree.items)
        case Not():
            return not evaluate(tree.item, record, related)
        case Bound():
            return _bound(tree, record)
        case Related() if related is not None:
            return related(tree.relation, tree.target)
    raise ValueError("only a bound tree can be evaluated, and one about relations with somebody to ask")


def _bound(leaf: Bound, record: Record) -> bool:
    values = _values(leaf, record)
    if leaf.op is Op.EXISTS:
        return bool(values) is not leaf.negated
    return bool(values) and any(_holds(leaf.op, v, leaf.values) for v in values) is not leaf.negated


def _values(leaf: Bound, record: Record) -> list[Any]:
    name = leaf.field.name
    if isinstance(leaf.field, StandardField):
        value = record.standard.get(name)
        if leaf.field.many:
            return list(value or ())
    else:
        value = record.own.get(name)
        if value is None:
            value = record.inherited.get(name)
        for step in leaf.path:
            value = _inside(value, step)
    return [] if value is None else [value]


def _inside(value: Any, step: str) -> Any:
    """What PostgreSQL's `#>` finds: a key of an object, a place in a list (from the end when negative), or nothing."""
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and _INDEX.fullmatch(step) and len(step) < 4000:
        place = int(step)
        return value[place] if -len(value) <= place < len(value) else None
    return None


def _kind(value: Any) -> type | None:
    """What a value can be compared with. Lists and objects with nothing."""
    if isinstance(value, bool):
        return bool
    return float if isinstance(value, int | float) else str if isinstance(value, str) else None


def _holds(op: Op, value: Any, operands: tuple[Any, ...]) -> bool:
    kind = _kind(value)
    if op is Op.IN:
        return any(kind is _kind(o) and value == o for o in operands)
    if op is Op.LIKE:
        return isinstance(value, str) and glob.matches(operands[0], value)
    if op is Op.MATCH:
        return isinstance(value, str) and regex.search(operands[0], value)
    if kind is None or any(kind is not _kind(o) for o in operands):
        return False
    first = operands[0]
    match op:
        case Op.EQ:
            return bool(value == first)
        case Op.LT:
            return bool(value < first)
        case Op.LE:
            return bool(value <= first)
        case Op.GT:
            return bool(value > first)
        case Op.GE:
            return bool(value >= first)
    return bool(first <= value <= operands[1])  # between
