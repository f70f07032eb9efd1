"""A test of a field that has values on files and on directories is two tests that no file passes both of.

One holds for files whose own value fits: the field's index on files answers it. The other for files without a value of
their own in directories whose value fits: the directories answer it. Asked as one, neither could lead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from lading.model.field import Field, IndexState

from .language.tree import Bound, Node, Not, Op

if TYPE_CHECKING:
    from collections.abc import Iterable

INDEXED = (Op.EQ, Op.LT, Op.LE, Op.GT, Op.GE, Op.IN, Op.BETWEEN)


class Halves(NamedTuple):
    """`own` on files; `inherited` on directories, for files that are `bare`."""

    whole: Bound
    own: Bound
    inherited: Bound
    bare: Node


def halves(terms: Iterable[Node]) -> Halves | None:
    """Of the term that is best asked in two, an equality before a range; None when there is no such."""
    found = [t for t in terms if isinstance(t, Bound) and _double(t)]
    if not found:
        return None
    whole = min(found, key=lambda t: t.op not in (Op.EQ, Op.IN))
    field = whole.field
    assert isinstance(field, Field)
    own, inherited = structs.replace(field, on_dirs=False), structs.replace(field, on_files=False)
    return Halves(whole, replace(whole, field=own), replace(whole, field=inherited), Not(Bound(own, (), Op.EXISTS, ())))


def _double(term: Bound) -> bool:
    field = term.field
    return (
        isinstance(field, Field)
        and not term.negated
        and term.op in INDEXED
        and field.on_files
        and field.on_dirs
        and field.index_state is IndexState.READY
    )


def holders(own: str, inherited: str) -> str:
    """SQL: can `d` hold an answer of either half? `f` and `d` are others inside."""
    return f"d.id in (select f.dir_id from file f where {own} union all select d.id from dir d where {inherited})"
