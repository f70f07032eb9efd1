"""SQL of one test of a standard field. Names (of users, groups, elements) and states are held against the operands here:
the database compares their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from lading.model import checksum as checksums
from lading.model import lfn
from lading.model.file import FileStatus
from lading.model.replica import STATES

from .compile_values import INTEGER, TEXT, compare
from .language.errors import QueryError, closest
from .language.evaluate import Record, evaluate
from .language.tree import Bound, Op

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .params import Params

LFN = "(case when d.path = '/' then '/' else d.path || '/' end || f.name)"
_PARENT = """(case when d.path = '/' then null when strpos(substr(d.path, 2), '/') = 0 then '/'
    else left(d.path, -length(f.name) - 1) end)"""
_EXTENSION = r"substring(f.name from '^.+\.([^.]+)$')"
ADLER32 = "lpad(to_hex(f.adler32), 8, '0')"
_STATUSES = list(FileStatus)
_TEXTS = {"lfn": LFN, "name": "f.name", "dir": "d.path", "ext": _EXTENSION, "comment": 'f.comment collate "C"'}
_OF_DIRECTORIES = {"lfn": "d.path", "dir": _PARENT, "name": "nullif(f.name, '')"}
_NUMBERS = {"size": "f.size", "ctime": "f.ctime", "mtime": "f.mtime", "replicas": "cardinality(f.se)"}


class People(Protocol):
    """{id: name} of each kind (`compile.Names`)."""

    @property
    def users(self) -> Mapping[int, str]: ...
    @property
    def groups(self) -> Mapping[int, str]: ...
    @property
    def elements(self) -> Mapping[int, str]: ...


def text(name: str, directories: bool) -> str:
    """SQL of a standard field of text."""
    return (_OF_DIRECTORIES.get(name) if directories else None) or _TEXTS[name]


def number(name: str) -> str:
    return _NUMBERS[name]


def checksum(kind: str) -> str:
    """SQL of the checksum of a kind, in hexadecimal."""
    return ADLER32 if kind == "adler32" else f"substring(f.csum from '(?:^|,){kind}:([^,]+)')"


def standard_condition(leaf: Bound, params: Params, names: People, directories: bool) -> tuple[str, str]:
    """(is there a value, does it fit); the first is empty for `exists`. Raises QueryError for unknown users and so on."""
    name = leaf.field.name
    if name in _NUMBERS:
        return _plain(leaf, number(name), INTEGER, params)
    if name == "lfn" and leaf.op is Op.EQ and not directories:
        place, last = lfn.split(leaf.values[0])  # so that the keys of both tables answer
        return "true", f"d.path = {params.add(place, 'text')} and f.name = {params.add(last, 'text')}"
    if name in _TEXTS:
        return _plain(leaf, text(name, directories), TEXT, params)
    if name == "guid":
        return _plain(leaf, "f.guid", "uuid", params)
    if name in ("owner", "group"):
        known = names.users if name == "owner" else names.groups
        ids = _ids(leaf, known, "user" if name == "owner" else "group", params, "int[]")
        return "true", "true" if leaf.op is Op.EXISTS else f"f.{name}_id = any({ids})"
    if name == "status":
        ids = _ids(leaf, dict(enumerate(s.value for s in _STATUSES)), "", params, "smallint[]")
        return "true", "true" if leaf.op is Op.EXISTS else f"coalesce(f.status, 0) = any({ids})"
    if name == "kind":
        fits = evaluate(_positive(leaf), Record(standard={"kind": "directory" if directories else "file"}))
        return "true", "true" if fits else "false"
    if name == "se":
        there = "cardinality(f.se) > 0"
        if leaf.op is Op.EXISTS:
            return "", there
        return there, f"f.se && {_ids(leaf, names.elements, 'element', params, 'int[]')}"
    if name == "state":
        return _state(leaf, params)
    return _checksum(leaf, name, params)


def _plain(leaf: Bound, value: str, type_: str, params: Params) -> tuple[str, str]:
    exists = f"{value} is not null"
    if leaf.op is Op.EXISTS:
        return "", exists
    return exists, compare(value, type_, leaf.op, leaf.values, params)


def _positive(leaf: Bound) -> Bound:
    return Bound(leaf.field, leaf.path, leaf.op, leaf.values)


def _fitting(leaf: Bound, known: Mapping[int, str]) -> list[int]:
    test = _positive(leaf)
    name, many = leaf.field.name, getattr(leaf.field, "many", False)
    return [i for i, n in known.items() if evaluate(test, Record(standard={name: [n] if many else n}))]


def _ids(leaf: Bound, known: Mapping[int, str], what: str, params: Params, type_: str) -> str:
    """The ids of those whose names fit. A name that is written out must exist."""
    if what and leaf.op in (Op.EQ, Op.IN):
        there = set(known.values())
        for value in leaf.values:
            if value not in there:
                raise _unknown(leaf, what, value, there)
    return params.add(_fitting(leaf, known), type_)


def _unknown(leaf: Bound, what: str, value: str, known: Iterable[str]) -> QueryError:
    close = closest(value, known)
    see = "se" if what == "element" else what
    hint = f"did you mean '{close}'?" if close else f"see 'lading {see} ls'"
    word = "storage element" if what == "element" else what
    return QueryError(f"there is no {word} '{lfn.shown(value, 80)}': {hint}", leaf.at, suggestion=close)


def _state(leaf: Bound, params: Params) -> tuple[str, str]:
    there = "cardinality(f.se) > 0"
    if leaf.op is Op.EXISTS:
        return "", there
    wanted = _fitting(leaf, dict(enumerate(s.value for s in STATES)))
    found = f"f.rstate && {params.add(wanted, 'smallint[]')}"
    return there, f"{there} and coalesce({found}, {'true' if 0 in wanted else 'false'})"  # null: all are available


def _checksum(leaf: Bound, name: str, params: Params) -> tuple[str, str]:
    if name != "checksum":
        return _plain(leaf, checksum(name), TEXT, params)
    exists = "(f.adler32 is not null or f.csum is not null)"
    if leaf.op is Op.EXISTS:
        return "", exists
    any_of: list[Any] = [v for v in leaf.values if len(v) == checksums.WIDTH["adler32"]]
    tests = []
    if any_of:
        numbers = [int.from_bytes(bytes.fromhex(v), "big", signed=True) for v in any_of]
        tests.append(f"f.adler32 = any({params.add(numbers, 'int[]')})")
    wanted = params.add(list(leaf.values), "text[]")
    tests.append(f"string_to_array(regexp_replace(f.csum, '[a-z0-9]+:', '', 'g'), ',') && {wanted}")
    return exists, f"({' or '.join(tests)})"
