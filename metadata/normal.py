"""A bound tree in normal form: no `Not` but right above a leaf, and the terms that all have to hold, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .language.tree import Always, And, Bound, Node, Not, Or, Related
from .standard import StandardField

if TYPE_CHECKING:
    from collections.abc import Iterator


def conjuncts(tree: Node) -> list[Node]:
    """The terms that must all hold. Empty: everything does; `[Always(False)]`: nothing does."""
    whole = normal(tree)
    if whole == Always(True):
        return []
    return list(whole.items) if isinstance(whole, And) else [whole]


def normal(node: Node, positive: bool = True) -> Node:
    """The same question (or its complement) with nots at the leaves, nested ands and ors joined, constants gone."""
    match node:
        case Always():
            return Always(node.value is positive)
        case Not():
            return normal(node.item, not positive)
        case And() | Or():
            return _joined([normal(i, positive) for i in node.items], isinstance(node, And) is positive)
    return node if positive else Not(node)


def _joined(items: list[Node], every: bool) -> Node:
    kind: type[And] | type[Or] = And if every else Or
    flat: list[Node] = []
    for item in items:
        if isinstance(item, Always):
            if item.value is not every:
                return item  # one false of an and, one true of an or
        elif isinstance(item, kind):
            flat += item.items
        else:
            flat.append(item)
    if not flat:
        return Always(every)
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def leaves(node: Node) -> Iterator[Bound | Related]:
    match node:
        case And() | Or():
            for item in node.items:
                yield from leaves(item)
        case Not():
            yield from leaves(node.item)
        case Bound() | Related():
            yield node


def of_directory(node: Node) -> bool:
    """True when, of a file, this asks for nothing but what its directory is: no look at files is needed."""
    return all(
        isinstance(leaf, Bound)
        and (leaf.field.name in ("dir", "kind") if isinstance(leaf.field, StandardField) else not leaf.field.on_files)
        for leaf in leaves(node)
    )
