"""SQL of one test of a declared field.

A value stands in `f.meta` (the file's own) or in `d.eff` (what holds in its directory). Where the field was only ever set on
one of the two, only that is asked: then the GIN index of `d.eff`, or the field's own on `f.meta`, can answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lading.model.field import FieldType

from .compile_values import BOOL, NUMBER, TEXT, compare, scalar
from .index_store import expression
from .language.tree import Op

if TYPE_CHECKING:
    from lading.model.field import Field

    from .language.tree import Bound
    from .params import Params

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,126}")
SQL_TYPES = {
    FieldType.INT: NUMBER,
    FieldType.FLOAT: NUMBER,
    FieldType.TIMESTAMP: NUMBER,
    FieldType.DATE: NUMBER,
    FieldType.BOOL: BOOL,
    FieldType.STRING: TEXT,
}


def quoted(name: str) -> str:
    """A field's name as an SQL literal. Raises ValueError for what can't name a field."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:40]!a} is no name of a field")
    return f"'{name}'"


def columns(field: Field, directories: bool) -> tuple[bool, bool]:
    """(may it be the file's own, may it be its directory's)."""
    return (False, field.on_dirs) if directories else (field.on_files, field.on_dirs)


def value(field: Field, directories: bool, *, text: bool = False) -> str:
    """SQL of the JSON of a field (of its text, as `->>` has it): the own value before the inherited one."""
    name, get = quoted(field.name), "->>" if text else "->"
    own, inherited = columns(field, directories)
    if own and inherited:
        return f"(case when f.meta ? {name} then f.meta {get} {name} else d.eff {get} {name} end)"
    if own or inherited:
        return f"({'f.meta' if own else 'd.eff'} {get} {name})"
    return "null::text" if text else "null::jsonb"


def field_condition(leaf: Bound, params: Params, _: Any, directories: bool) -> tuple[str, str]:
    """(is there a value, does it fit); the first is empty for `exists`."""
    field: Any = leaf.field
    if leaf.path or field.type is FieldType.JSON:
        return _json(leaf, field, params, directories)
    name, (own, inherited) = quoted(field.name), columns(field, directories)
    there = [f"{column} ? {name}" for column, used in (("f.meta", own), ("d.eff", inherited)) if used]
    exists = f"({' or '.join(there)})" if there else "false"
    if leaf.op is Op.EXISTS:
        return "", exists
    if own and inherited:
        return (
            exists,
            f"case when f.meta ? {name} then {_own(leaf, field, params)} else {_inherited(leaf, field, params)} end",
        )
    if own:
        return exists, f"f.meta ? {name} and {_own(leaf, field, params)}"
    return exists, _inherited(leaf, field, params) if inherited else "false"


def _own(leaf: Bound, field: Field, params: Params) -> str:
    """As the field's index has it. A text is looked at twice: the index has the text of values of other types too."""
    held = compare(
        f"({expression(field.name, field.type.value, 'f.meta')})", SQL_TYPES[field.type], leaf.op, leaf.values, params
    )
    if field.type is FieldType.STRING:
        return f"{held} and jsonb_typeof(f.meta -> {quoted(field.name)}) = 'string'"
    return held


def _inherited(leaf: Bound, field: Field, params: Params) -> str:
    if leaf.op in (Op.EQ, Op.IN):
        return _contains(field.name, leaf, params)
    return compare(
        scalar(f"(d.eff -> {quoted(field.name)})", SQL_TYPES[field.type]),
        SQL_TYPES[field.type],
        leaf.op,
        leaf.values,
        params,
    )


def _contains(name: str, leaf: Bound, params: Params) -> str:
    """Equality as the partial GIN index knows it."""
    wanted = [{name: v} for v in leaf.values]
    if len(wanted) == 1:
        return f"d.eff @> {params.add(wanted[0], 'jsonb')} and d.eff <> '{{}}'"
    return f"d.eff @> any({params.add(wanted, 'jsonb[]')}) and d.eff <> '{{}}'"


def _json(leaf: Bound, field: Field, params: Params, directories: bool) -> tuple[str, str]:
    found = value(field, directories)
    if leaf.path:
        found = f"nullif({found} #> {params.add(list(leaf.path), 'text[]')}, 'null'::jsonb)"
    exists = f"{found} is not null"
    if leaf.op is Op.EXISTS:
        return "", exists
    if leaf.op in (Op.EQ, Op.IN):
        if not leaf.path and columns(field, directories) == (False, True):
            return exists, _contains(field.name, leaf, params)
        return exists, f"{found} = any({params.add(list(leaf.values), 'jsonb[]')})"
    kinds = {str if isinstance(o, str) else float for o in leaf.values}
    if len(kinds) > 1:
        return exists, "false"  # from a number to a text: nothing lies between
    type_ = TEXT if kinds == {str} else NUMBER
    return exists, compare(scalar(found, type_), type_, leaf.op, leaf.values, params)
