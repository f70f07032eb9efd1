"""A tree as text, in one canonical form: `parse(unparse(tree)) == tree`."""

from __future__ import annotations

import re

from .literals import quote, written
from .tree import Always, And, Node, Not, Op, Or, Related, Test, check_height

_INDEX = re.compile(r"-?[0-9]+")


def unparse(tree: Node) -> str:
    """The text of a tree of `Test` leaves: double quotes, lower-case keywords, no needless parentheses, dates in full.

    Raises QueryError for a tree that is nested too deep, ValueError for one that was bound.
    """
    return _text(check_height(tree))


def _text(node: Node) -> str:
    match node:
        case Always():
            return "true" if node.value else "false"
        case Or():
            return " or ".join(_within(i, Or) for i in node.items)
        case And():
            return " and ".join(_within(i, Or, And) for i in node.items)
        case Not():
            return f"not {_within(node.item, Or, And)}"
        case Related():
            return f"{node.relation.value} {quote(node.target)}"
        case Test():
            return " ".join(filter(None, [_field(node), node.op.value, _operands(node)]))
    raise ValueError("a bound tree has no text: unparse the tree it was bound from")


def _within(node: Node, *looser: type) -> str:
    return f"({_text(node)})" if isinstance(node, looser) else _text(node)


def _field(test: Test) -> str:
    return test.name + "".join(f"[{s if _INDEX.fullmatch(s) else quote(s)}]" for s in test.steps)


def _operands(test: Test) -> str:
    values = [written(v) for v in test.values]
    if test.op.positive is Op.IN:
        return f"({', '.join(values)})"
    return " and ".join(values)
