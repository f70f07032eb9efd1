"""SQL of what is told of a file: a JSON object a line, selected fields in their shown form; and what to sort by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from lading.model.errors import InvalidRequest
from lading.model.field import FieldType
from lading.model.file import FileStatus
from lading.model.replica import STATES

from . import compile_standard as standard
from .compile_fields import SQL_TYPES, value
from .compile_values import INTEGER, TEXT, scalar
from .moments import DAY, MAX_TIME, MIN_TIME
from .standard import StandardField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .compile import Names
    from .language.tree import Bound
    from .params import Params

_TEXTS = ("lfn", "name", "dir", "ext", "comment")
_SORTABLE = ("lfn", "name", "dir", "ext", "comment", "size", "ctime", "mtime", "replicas", "guid", "owner", "group")


class Column(NamedTuple):
    """A field to tell of, under the name it was asked for by."""

    name: str
    bound: Bound

    @property
    def type(self) -> FieldType:
        return FieldType.JSON if self.bound.path else self.bound.field.type


def line(base: str, columns: Sequence[Column], names: Names, params: Params, directories: bool) -> str:
    """SQL of the JSON of one file. `base` is SQL of the JSON of its LFN."""
    parts = [
        f"coalesce({params.add(_key(c.name), 'text')} || {_shown(c, names, params, directories)}, '')"
        for c in columns
        if c.name != "lfn"
    ]
    return " || ".join([f"'{{\"lfn\":' || {base}", *parts, "'}'"])


def _key(name: str) -> str:
    return f",{json.dumps(name)}:"


def moment(micros: str) -> str:
    """SQL of a time as RFC 3339 has it, of microseconds (bigint) in the years 1 to 9999."""
    whole = (
        f"to_char(timestamp 'epoch' + floor({micros} / 1000000.0) * interval '1 second', 'YYYY-MM-DD\"T\"HH24:MI:SS')"
    )
    rest = f"mod(mod({micros}, 1000000) + 1000000, 1000000)"
    return f"{whole} || case when {rest} = 0 then '' else '.' || lpad({rest}::text, 6, '0') end || 'Z'"


def _shown(column: Column, names: Names, params: Params, directories: bool) -> str:
    """SQL of the JSON text of a field's shown form; null without a value."""
    bound = column.bound
    field: Any = bound.field
    if isinstance(field, StandardField):
        return _standard(field.name, names, params, directories)
    found = json_value(bound, params, directories)
    if column.type is FieldType.TIMESTAMP:
        return _when(found, MIN_TIME, MAX_TIME, f"'\"' || {moment(f'({found} #>> {_HERE})::numeric::bigint')} || '\"'")
    if column.type is FieldType.DATE:
        day = f"'\"' || to_char(date '1970-01-01' + ({found} #>> {_HERE})::numeric::int, 'YYYY-MM-DD') || '\"'"
        return _when(found, MIN_TIME // DAY, MAX_TIME // DAY, day)
    if column.type is FieldType.FLOAT:  # 1e+22, where the JSON would have 23 digits: no reader takes it for an integer
        number = f"(({found} #>> {_HERE})::float8)::text"
        return f"case when jsonb_typeof({found}) = 'number' then {number} else {found}::text end"
    return f"{found}::text"


_HERE = "'{}'"


def _when(found: str, low: int, high: int, shown: str) -> str:
    """`shown` for numbers in the range; whatever else is there as it is."""
    number = (
        f"case when jsonb_typeof({found}) = 'number' then ({found} #>> {_HERE})::numeric between {low} and {high} end"
    )
    return f"case when {number} then {shown} else {found}::text end"


def json_value(bound: Bound, params: Params, directories: bool) -> str:
    """SQL of the JSON (jsonb) of a declared field's value, or of the place in it; null without one."""
    field: Any = bound.field
    found = value(field, directories)
    return f"nullif({found} #> {params.add(list(bound.path), 'text[]')}, 'null'::jsonb)" if bound.path else found


def _standard(name: str, names: Names, params: Params, directories: bool) -> str:
    if name in _TEXTS:
        return f"to_json({standard.text(name, directories)})::text"
    if name in ("ctime", "mtime"):
        return f"'\"' || {moment(standard.number(name))} || '\"'"
    if name in ("size", "replicas"):
        return f"{standard.number(name)}::text"
    if name in ("owner", "group"):
        known = names.users if name == "owner" else names.groups
        return f"(coalesce({names_table(known, params)} -> f.{name}_id::text, to_jsonb(f.{name}_id::text)))::text"
    if name == "guid":
        return "'\"' || f.guid || '\"'"
    if name == "status":
        return f"to_json(({words([s.value for s in FileStatus])})[coalesce(f.status, 0) + 1])::text"
    if name == "kind":
        return f"'\"{'directory' if directories else 'file'}\"'"
    if name == "se":
        return f"(select '[' || string_agg(({names_table(names.elements, params)} -> s::text)::text, ',' order by n) || ']' from unnest(f.se) with ordinality x(s, n))"
    if name == "state":
        states = f"({words([s.value for s in STATES])})[coalesce(f.rstate[n], 0) + 1]"
        return f"(select json_agg({states} order by n)::text from generate_subscripts(f.se, 1) n)"
    if name == "checksum":
        others = "string_to_array(regexp_replace(f.csum, '[a-z0-9]+:', '', 'g'), ',')"
        every = f"array_remove(array[{standard.ADLER32}] || {others}, null)"
        return f"case when f.adler32 is not null or f.csum is not null then to_json({every})::text end"
    return f"to_json({standard.checksum(name)})::text"


def words(texts: Sequence[str]) -> str:
    return f"array[{','.join(repr(t) for t in texts)}]"  # our own words, not a user's


def names_table(known: Mapping[int, str], params: Params) -> str:
    return params.add({str(i): name for i, name in known.items()}, "jsonb")


class Key(NamedTuple):
    """What to sort by: SQL, and its type there."""

    sql: str
    type: str


def sort_key(column: Column, names: Names, params: Params, directories: bool) -> Key:
    """Raises InvalidRequest for a field that has no order."""
    field: Any = column.bound.field
    if not isinstance(field, StandardField):
        if column.type is FieldType.JSON:
            raise _no_order(column.name, "it is JSON")
        type_ = SQL_TYPES[field.type]
        return Key(scalar(value(field, directories), type_), type_)
    name = field.name
    if name not in _SORTABLE:
        raise _no_order(column.name, f"there are the declared fields and {', '.join(_SORTABLE)}")
    if name in ("owner", "group"):
        known = names.users if name == "owner" else names.groups
        return Key(f'(({names_table(known, params)} ->> f.{name}_id::text) collate "C")', TEXT)
    if name == "guid":
        return Key('(f.guid::text collate "C")', TEXT)
    if field.type is FieldType.STRING:
        return Key(f'({standard.text(name, directories)} collate "C")', TEXT)
    return Key(standard.number(name), INTEGER)


def _no_order(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"files can't be sorted by '{name}': {why}", field=name)
