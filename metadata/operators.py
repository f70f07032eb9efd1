"""Which operators a type knows."""

from __future__ import annotations

from lading.model.field import FieldType

from .language.tree import Op

CHOICE = (Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.EXISTS, Op.MISSING)
_ORDER = (Op.LT, Op.LE, Op.GT, Op.GE, Op.BETWEEN, Op.NOT_BETWEEN)
_TEXT = (Op.LIKE, Op.NOT_LIKE, Op.MATCH, Op.NOT_MATCH)
ORDERED = tuple(op for op in Op if op not in _TEXT)
NAMES = tuple(op for op in Op if op not in _ORDER)
ALL = tuple(Op)

BY_TYPE: dict[FieldType, tuple[Op, ...]] = {
    FieldType.INT: ORDERED,
    FieldType.FLOAT: ORDERED,
    FieldType.BOOL: CHOICE,
    FieldType.STRING: ALL,
    FieldType.TIMESTAMP: ORDERED,
    FieldType.DATE: ORDERED,
    FieldType.JSON: ALL,
}
