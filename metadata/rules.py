"""What a field may be declared as, and which values its declaration lets in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lading.model import lfn
from lading.model.errors import InvalidRequest
from lading.model.field import FieldSpec, FieldType
from lading.model.lfn import shown

from .language.literals import KEYWORDS
from .language.regex import RegexError, parse_regex, search
from .language.undeclared import is_undeclared
from .standard import find
from .types import show, store

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ALLOWED = 1_000
MAX_REQUIRED_BELOW = 100
_MAX_TEXT = 2_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,126}")
_RANGED = (FieldType.INT, FieldType.FLOAT, FieldType.TIMESTAMP, FieldType.DATE)


def check_name(name: str) -> str:
    """The name. Raises InvalidRequest for what can't name a field: ASCII only (so no mixed scripts), no word of the
    query language, no standard field."""
    if not _NAME.fullmatch(name):
        raise _bad(
            f"{name[:80]!a} can't name a field: a letter or _, then letters, digits and _ . - (ASCII), at most 127",
            name,
        )
    if name.lower() in KEYWORDS:
        raise _bad(f"'{name}' can't name a field: it is a word of the query language", name)
    if is_undeclared(name):
        raise _bad(f"'{name}' can't name a field: 'meta' stands before keys that nobody declared", name)
    if find(name):
        raise _bad(f"'{name}' can't be declared: every file has a standard field of this name", name)
    return name


def check_spec(spec: FieldSpec) -> FieldSpec:
    """The spec. Raises InvalidRequest when it contradicts itself or asks for what its type has not."""
    name = check_name(spec.name)
    for what, text in (("unit", spec.unit), ("description", spec.description)):
        if len(text) > _MAX_TEXT or any(c != "\n" and not c.isprintable() for c in text):
            raise _bad(f"the {what} of '{name}' must be printable and at most {_MAX_TEXT} characters", name)
    for what, given, types in (
        ("a pattern", spec.pattern is not None, (FieldType.STRING,)),
        ("a minimum or maximum", spec.minimum is not None or spec.maximum is not None, _RANGED),
        ("a list of allowed values", bool(spec.allowed), (*_RANGED, FieldType.STRING)),
        ("an index", spec.indexed, tuple(t for t in FieldType if t is not FieldType.JSON)),
    ):
        if given and spec.type not in types:
            raise _bad(f"'{name}' is a {spec.type.value}, which can't have {what}", name)
    if len(spec.allowed) > MAX_ALLOWED:
        raise _bad(f"'{name}' has more than {MAX_ALLOWED} allowed values", name)
    if len(spec.required_below) > MAX_REQUIRED_BELOW:
        raise _bad(f"'{name}' is required below more than {MAX_REQUIRED_BELOW} directories", name)
    for path in spec.required_below:
        lfn.parse(path)
    _check_pattern(spec)
    low, high = _bound(spec, spec.minimum), _bound(spec, spec.maximum)
    if low is not None and high is not None and low > high:
        raise _bad(f"the minimum of '{name}' is above its maximum", name)
    check = checker(spec)
    for value in spec.allowed:
        check(value)
    return spec


def checker(spec: FieldSpec) -> Callable[[object], Any]:
    """A function from a caller's value to its stored form. It raises InvalidRequest for what is not of the type, not
    allowed, outside the range, or not of the pattern. Made once for many values."""
    name, type_, pattern = spec.name, spec.type, spec.pattern
    if spec.allowed or pattern is not None or spec.minimum is not None or spec.maximum is not None:
        allowed = frozenset(store(type_, v, name) for v in spec.allowed)
        low, high = _bound(spec, spec.minimum), _bound(spec, spec.maximum)

        def check(value: object) -> Any:
            stored = store(type_, value, name)
            if allowed and stored not in allowed:
                some = ", ".join(shown(str(v), 40) for v in spec.allowed[:10])
                more = ", …" if len(spec.allowed) > 10 else ""
                raise _bad(f"'{name}' is one of {some}{more}; not {_told(type_, stored)}", name)
            if low is not None and stored < low:
                raise _bad(f"'{name}' is at least {spec.minimum}; not {_told(type_, stored)}", name)
            if high is not None and stored > high:
                raise _bad(f"'{name}' is at most {spec.maximum}; not {_told(type_, stored)}", name)
            if pattern is not None and not search(pattern, stored):
                raise _bad(f"'{name}' must match the pattern {pattern}; not {_told(type_, stored)}", name)
            return stored

        return check
    return lambda value: store(type_, value, name)


def _check_pattern(spec: FieldSpec) -> None:
    try:
        parse_regex(spec.pattern or ".")
    except RegexError as error:
        raise _bad(f"the pattern of '{spec.name}', at character {error.offset + 1}: {error}", spec.name) from None


def _bound(spec: FieldSpec, limit: float | str | None) -> Any:
    return None if limit is None else store(spec.type, limit, spec.name)


def _told(type_: FieldType, stored: Any) -> str:
    return f"'{shown(str(show(type_, stored)), 60)}'"


def _bad(message: str, name: str) -> InvalidRequest:
    return InvalidRequest(message, field=name[:127])
