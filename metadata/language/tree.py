"""A query as a tree. Two kinds of tree share the inner nodes: `parse` and `from_dirac` make leaves `Test`, which hold
what was written; `bind` turns those into `Bound`, which hold a field and values in stored form.

    Always                    true, false
    And, Or (two or more)     Not
    Test | Bound              one field, one operator, its operands
    Related                   what the record has to do with another LFN, a dataset or a snapshot

Nodes are immutable and compare by meaning: where they were written (`at`) does not count. No node is higher than
`errors.MAX_DEPTH`, so recursion over a tree is safe; `check_height` guards trees from elsewhere.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import MAX_DEPTH, At, QueryError

if TYPE_CHECKING:
    from lading.model.field import Field

    from ..standard import StandardField


class Op(StrEnum):
    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    IN = "in"
    NOT_IN = "not in"
    BETWEEN = "between"
    NOT_BETWEEN = "not between"
    LIKE = "like"
    NOT_LIKE = "not like"
    MATCH = "~"
    NOT_MATCH = "!~"
    EXISTS = "exists"
    MISSING = "missing"

    @property
    def negated(self) -> bool:
        return self in _POSITIVE

    @property
    def positive(self) -> Op:
        """`!=` is `=`, and so on; a positive operator is its own."""
        return _POSITIVE.get(self, self)


_POSITIVE = {
    Op.NE: Op.EQ,
    Op.NOT_IN: Op.IN,
    Op.NOT_BETWEEN: Op.BETWEEN,
    Op.NOT_LIKE: Op.LIKE,
    Op.NOT_MATCH: Op.MATCH,
    Op.MISSING: Op.EXISTS,
}


class Relation(StrEnum):
    """What a file is to the `target`: an LFN for the first two, else a name."""

    ANCESTOR = "ancestor of"
    DESCENDANT = "descendant of"
    DATASET = "in dataset"
    SNAPSHOT = "in snapshot"


class LiteralKind(StrEnum):
    """`DATE` value: days · `TIME`: microseconds · `NOW`: microseconds from now · `SIZE`: bytes, written with a unit."""

    TEXT = "text"
    NUMBER = "number"
    BOOL = "bool"
    SIZE = "size"
    DATE = "date"
    TIME = "time"
    NOW = "now"


@dataclass(frozen=True, slots=True)
class Literal:
    kind: LiteralKind
    value: str | int | float | bool
    at: At | None = dataclasses.field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Always:
    """Everything (true) or nothing (false)."""

    value: bool
    height = 1


@dataclass(frozen=True, slots=True)
class Test:
    """`name` as written, dots and all; `steps` are what follows in brackets and after them. `values`: one operand for
    most operators, two for `between`, one or more for `in`, none for `exists`."""

    __test__ = False  # pytest: not a test

    name: str
    steps: tuple[str, ...]
    op: Op
    values: tuple[Literal, ...]
    at: At | None = dataclasses.field(default=None, compare=False, repr=False)
    height = 1


@dataclass(frozen=True, slots=True)
class Bound:
    """A test that can be run: `op` is positive (`=` `<` `<=` `>` `>=` `in` `between` `like` `~` `exists`).

    Without `negated` it is true when a value is there and the operator holds for it. With `negated` it is true when a
    value is there and the operator does not hold; for `exists`, when no value is there. A field of many values
    (`StandardField.many`): the operator holds when it does for any of them, and a value is there when one is.

    `path`: where in the JSON value to look, as PostgreSQL's `#>` does (a JSON null there is no value). `values` are in
    stored form; of `like` it is the glob as written, of `~` the pattern in portable form (`regex.portable`).
    """

    field: Field | StandardField
    path: tuple[str, ...]
    op: Op
    values: tuple[Any, ...]
    negated: bool = False
    at: At | None = dataclasses.field(default=None, compare=False, repr=False)
    height = 1


@dataclass(frozen=True, slots=True)
class Related:
    relation: Relation
    target: str
    at: At | None = dataclasses.field(default=None, compare=False, repr=False)
    height = 1


@dataclass(frozen=True, slots=True)
class Not:
    item: Node
    height: int = dataclasses.field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "height", self.item.height + 1)


@dataclass(frozen=True, slots=True)
class And:
    items: tuple[Node, ...]
    height: int = dataclasses.field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "height", max(i.height for i in self.items) + 1)


@dataclass(frozen=True, slots=True)
class Or:
    items: tuple[Node, ...]
    height: int = dataclasses.field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "height", max(i.height for i in self.items) + 1)


Node: TypeAlias = Always | And | Or | Not | Test | Bound | Related


def check_height(node: Node, at: At | None = None) -> Node:
    """The node. Raises QueryError when it is nested too deep."""
    if node.height > MAX_DEPTH:
        raise QueryError(f"the query is nested more than {MAX_DEPTH} deep: and, or, not and ( ) each count", at)
    return node
