"""From a bound tree to SQL: a condition on `f` (a row of `file`) and `d` (of `dir`), with its values in `Params`.

For files `d` is the directory they lie in, for directories it is themselves (`f` is then their own row). The condition may be
null where it does not hold: as two-valued logic needs it, no NOT stands above anything but a leaf, and there it is
`is not true`. Nothing that a user wrote stands in the text; names of fields do, checked to be identifiers, because the
expressions of their indexes have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .compile_fields import field_condition
from .compile_standard import People, standard_condition
from .language.tree import Always, And, Bound, Node, Not, Or, Related
from .normal import normal
from .standard import StandardField

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .params import Params

    Clause = Callable[[Params], str]
    """Writes a condition on `f` and `d`, adding its values."""


class Names(NamedTuple):
    """What names stand for, at the time of a query: {id: name} of users, groups and elements."""

    users: Mapping[int, str]
    groups: Mapping[int, str]
    elements: Mapping[int, str]


class Compiler:
    """Writes parts of one statement. `related` has a clause for each relation of the query (see `relations`)."""

    def __init__(
        self,
        params: Params,
        names: Names,
        *,
        directories: bool = False,
        related: Mapping[Related, Clause] | None = None,
    ) -> None:
        self._params = params
        self._people: People = names
        self._directories = directories
        self._related = related or {}

    def condition(self, tree: Node) -> str:
        """SQL of a tree, to be put after `and`. Raises QueryError for a user, group or element that does not exist."""
        return self._node(normal(tree))

    def _node(self, node: Node) -> str:
        match node:
            case Always():
                return "true" if node.value else "false"
            case And():
                return f"({' and '.join(self._node(i) for i in node.items)})"
            case Or():
                return f"({' or '.join(self._node(i) for i in node.items)})"
            case Not():
                return f"({self._node(node.item)}) is not true"
            case Bound():
                return self._leaf(node)
            case Related():
                return self._related[node](self._params)
        raise ValueError("only a bound tree can be compiled")

    def _leaf(self, leaf: Bound) -> str:
        """`negated` is true of a value that is there and does not fit; of `exists`, of none."""
        write = standard_condition if isinstance(leaf.field, StandardField) else field_condition
        exists, holds = write(leaf, self._params, self._people, self._directories)
        if not leaf.negated:
            return f"({holds})"
        return f"({exists} and ({holds}) is not true)" if exists else f"(({holds}) is not true)"
