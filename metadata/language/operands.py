"""Operands, from what was written to stored form.

Each becomes a `Span` of stored values: a day on a timestamp is all its microseconds, 1.5 on an int lies between 1 and
2, and everything else is one value. The operators then look at one end: `<` and `>=` at `low`, `<=` and `>` at `high`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from lading.model.errors import InvalidRequest
from lading.model.field import FieldType
from lading.model.lfn import shown

from ..moments import DAY, MAX_TIME, MIN_TIME, parse_date, parse_either
from ..quantities import MAX_INT, MIN_INT
from ..standard import StandardField
from .errors import QueryError, closest, either
from .tree import Literal, LiteralKind, Op, Test

if TYPE_CHECKING:
    from lading.model.field import Field

_WORDS = {
    FieldType.INT: ("a number", "3"),
    FieldType.FLOAT: ("a number", "1.5"),
    FieldType.BOOL: ("true or false", "true"),
    FieldType.STRING: ("text in quotes", '"text"'),
    FieldType.TIMESTAMP: ("a date, a time such as 2024-01-31T12:00:00Z or now - 7d", "2024-01-31"),
    FieldType.DATE: ("a date, or now - 7d", "2024-01-31"),
    FieldType.JSON: ("text in quotes (dates too), a number, true or false", '"2024-01-31"'),
}
_NUMBERS = (LiteralKind.NUMBER, LiteralKind.SIZE)
_EQUAL = (Op.EQ, Op.IN)


class Span(NamedTuple):
    """`low` above `high` when the operand lies between two stored values."""

    low: Any
    high: Any


class Reader:
    """Reads the operands of one test. `now` is in microseconds."""

    def __init__(self, field: Field | StandardField, test: Test, now: int) -> None:
        self.field, self.test, self.now = field, test, now
        self.op = test.op.positive

    def text(self, literal: Literal) -> str:
        """For `like` and `~`."""
        if literal.kind is not LiteralKind.TEXT:
            raise self._mismatch(literal)
        return str(literal.value)

    def span(self, literal: Literal) -> Span:
        """Raises QueryError when the literal can't be compared with the field."""
        match self.field.type:
            case FieldType.INT:
                return self._int(literal)
            case FieldType.FLOAT:
                return self._point(float(self._number(literal)))
            case FieldType.TIMESTAMP:
                return self._timestamp(literal)
            case FieldType.DATE:
                return self._point(self._date(literal))
            case FieldType.BOOL if literal.kind is LiteralKind.BOOL:
                return self._point(literal.value)
            case FieldType.STRING if literal.kind is LiteralKind.TEXT:
                return self._point(self._string(literal))
            case FieldType.JSON:
                return self._point(self._json(literal))
            case _:
                raise self._mismatch(literal)

    def _point(self, value: Any) -> Span:
        return Span(value, value)

    def _number(self, literal: Literal) -> int | float:
        if literal.kind not in _NUMBERS or isinstance(literal.value, str):
            raise self._mismatch(literal)
        return literal.value

    def _int(self, literal: Literal) -> Span:
        value = self._number(literal)
        low, high = math.ceil(value), math.floor(value)
        if low != high and self.op in _EQUAL:
            raise QueryError(f"{self._name} is an int, which is never {value}", literal.at)
        if not MIN_INT <= high <= low <= MAX_INT:
            raise QueryError(f"{self._name} is an int, and {value} is beyond 64 bits", literal.at)
        return Span(low, high)

    def _timestamp(self, literal: Literal) -> Span:
        value, is_date = literal.value, literal.kind is LiteralKind.DATE
        if literal.kind is LiteralKind.TEXT:
            try:
                is_date, value = parse_either(str(value))
            except ValueError as error:
                raise QueryError(f"{self._name} is a timestamp: {error}", literal.at) from None
        elif literal.kind is LiteralKind.NOW:
            value = self._at(literal)
        elif literal.kind not in (LiteralKind.DATE, LiteralKind.TIME):
            raise self._mismatch(literal)
        stamp = int(value)
        return Span(stamp * DAY, stamp * DAY + DAY - 1) if is_date else self._point(stamp)

    def _date(self, literal: Literal) -> int:
        if literal.kind is LiteralKind.TEXT:
            try:
                return parse_date(str(literal.value))
            except ValueError as error:
                raise QueryError(f"{self._name} is a date: {error}", literal.at) from None
        if literal.kind is LiteralKind.NOW:
            return self._at(literal) // DAY
        if literal.kind is not LiteralKind.DATE:
            raise self._mismatch(literal)
        return int(literal.value)

    def _at(self, literal: Literal) -> int:
        moment = self.now + int(literal.value)
        if not MIN_TIME <= moment <= MAX_TIME:
            raise QueryError("this time is outside the years 0001 to 9999", literal.at)
        return moment

    def _string(self, literal: Literal) -> str:
        text, field = str(literal.value), self.field
        if not isinstance(field, StandardField):
            return text
        if field.choices and text not in field.choices:
            close = closest(text, field.choices)
            hint = f"; did you mean '{close}'?" if close else ""
            choices = either([f"'{c}'" for c in field.choices])
            raise QueryError(f"{self._name} is {choices}{hint}", literal.at, suggestion=close)
        if field.normalise and self.op in _EQUAL:
            try:
                return field.normalise(text)
            except InvalidRequest as error:
                raise QueryError(f"{self._name}: {error.message}", literal.at) from None
            except ValueError as error:
                raise QueryError(f"{self._name}: {error}", literal.at) from None
        return text

    def _json(self, literal: Literal) -> Any:
        if literal.kind not in (*_NUMBERS, LiteralKind.TEXT, LiteralKind.BOOL):
            raise self._mismatch(literal)
        if literal.kind is LiteralKind.BOOL and self.op not in _EQUAL:
            raise QueryError("true and false have no order: use = or !=", literal.at)
        return literal.value

    @property
    def _name(self) -> str:
        return shown(self.test.name + "".join(f"[{s}]" for s in self.test.steps))

    def _mismatch(self, literal: Literal) -> QueryError:
        words, example = _WORDS[self.field.type]
        if isinstance(self.field, StandardField):
            example = self.field.example
        if self.op is Op.LIKE:
            words, example = "a pattern in quotes", '"*text*"'
        elif self.op is Op.MATCH:
            words, example = "a regular expression in quotes", '"^text"'
        elif self.op is Op.IN:
            example = f"({example})"
        elif self.op is Op.BETWEEN:
            example = f"{example} and {example}"
        such = f"such as {self._name} {self.test.op.value} {example}"
        return QueryError(f"{self._name} is {_article(self.field.type)}: compare it with {words}, {such}", literal.at)


def _article(type_: FieldType) -> str:
    return {FieldType.INT: "an int", FieldType.JSON: "JSON"}.get(type_, f"a {type_.value}")
