"""The types of values: what a caller gives to what is stored, and back to what is shown. See `lading.model.field`.

Stored: int and float as numbers, timestamp as microseconds since the epoch (UTC), date as days since 1970-01-01, the
rest as it is. None is never a value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

from lading.model.errors import InvalidRequest
from lading.model.field import FieldType
from lading.model.lfn import shown

from .moments import DAY, MAX_TIME, MIN_TIME, parse_date, parse_either, show_date, show_time
from .quantities import MAX_INT, MIN_INT

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_JSON_DEPTH = 20
MAX_JSON_ITEMS = 10_000

WORDS = {
    FieldType.INT: "an int: a whole number of 64 bits, such as 3",
    FieldType.FLOAT: "a float: a finite number, such as 1.5",
    FieldType.BOOL: "a bool: true or false",
    FieldType.STRING: "a string: text without NUL",
    FieldType.TIMESTAMP: "a timestamp: a time such as '2024-01-31T12:00:00Z', or microseconds since 1970",
    FieldType.DATE: "a date such as '2024-01-31'",
    FieldType.JSON: "JSON",
}


def store(type_: FieldType, value: object, name: str) -> Any:
    """`value` in stored form. Raises InvalidRequest, naming the field `name`, for what is none of its type."""
    return _STORE[type_](value, name)


def show(type_: FieldType, stored: Any) -> Any:
    """What a caller is shown; `store` takes it back."""
    if type_ is FieldType.TIMESTAMP:
        return show_time(stored)
    return show_date(stored) if type_ is FieldType.DATE else stored


def _refuse(type_: FieldType, value: object, name: str, why: str = "") -> NoReturn:
    given = f"'{shown(value, 60)}'" if isinstance(value, str) else _brief(value)
    raise InvalidRequest(f"'{name}' is {WORDS[type_]}; not {given}{why and f' ({why})'}", field=name, type=type_.value)


def _brief(value: object) -> str:
    """A value that is no text, in a few words: never the whole of what may be large."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return repr(value)
    names: dict[type, str] = {list: "a list", tuple: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _int(value: object, name: str) -> int:
    if type(value) is int and MIN_INT <= value <= MAX_INT:
        return value
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)  # JSON has one kind of number: 3.0 is 3
    _refuse(FieldType.INT, value, name)


def _float(value: object, name: str) -> float:
    if type(value) is int and MIN_INT <= value <= MAX_INT:
        return float(value)
    if type(value) is float and math.isfinite(value):
        return value + 0.0  # -0.0 becomes 0.0: the database knows no other
    _refuse(FieldType.FLOAT, value, name)


def _bool(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return value
    _refuse(FieldType.BOOL, value, name)


def _string(value: object, name: str) -> str:
    if not isinstance(value, str):
        _refuse(FieldType.STRING, value, name)
    if (why := _unstorable(value)) is not None:
        _refuse(FieldType.STRING, value, name, why)
    return value


def _timestamp(value: object, name: str) -> int:
    if type(value) is int and MIN_TIME <= value <= MAX_TIME:
        return value
    if isinstance(value, str):
        try:
            is_date, moment = parse_either(value)
        except ValueError as error:
            _refuse(FieldType.TIMESTAMP, value, name, str(error))
        return moment * DAY if is_date else moment
    _refuse(FieldType.TIMESTAMP, value, name, "the years 0001 to 9999" if type(value) is int else "")


def _date(value: object, name: str) -> int:
    if isinstance(value, str):
        try:
            return parse_date(value)
        except ValueError as error:
            _refuse(FieldType.DATE, value, name, str(error))
    _refuse(FieldType.DATE, value, name)


def _json(value: object, name: str) -> Any:
    """Level by level, so that no depth can exhaust the stack."""
    if value is None:
        _refuse(FieldType.JSON, value, name, "null removes a value")
    level, items = [value], 0
    for _ in range(MAX_JSON_DEPTH + 1):
        items += len(level)
        if items > MAX_JSON_ITEMS:
            raise InvalidRequest(f"the JSON of '{name}' has more than {MAX_JSON_ITEMS} items", field=name)
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                if any(not isinstance(key, str) for key in item):
                    _refuse(FieldType.JSON, item, name, "its keys must be text")
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif (why := _no_scalar(item)) is not None:
                _refuse(FieldType.JSON, item, name, why)
        if not below:
            return value
        level = below
    raise InvalidRequest(f"the JSON of '{name}' is nested more than {MAX_JSON_DEPTH} deep", field=name)


def _no_scalar(item: object) -> str | None:
    if isinstance(item, str):
        return _unstorable(item)
    if item is None or isinstance(item, bool):
        return None
    if isinstance(item, int):
        return None if MIN_INT <= item <= MAX_INT else "beyond 64 bits"
    if isinstance(item, float):
        return None if math.isfinite(item) else "not finite"
    return "not JSON"


def _unstorable(text: str) -> str | None:
    if "\0" in text:
        return "it holds a NUL"
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        return "it holds half a character, a lone surrogate"
    return None


_STORE: dict[FieldType, Callable[[object, str], Any]] = {
    FieldType.INT: _int,
    FieldType.FLOAT: _float,
    FieldType.BOOL: _bool,
    FieldType.STRING: _string,
    FieldType.TIMESTAMP: _timestamp,
    FieldType.DATE: _date,
    FieldType.JSON: _json,
}
