"""Comparisons of one SQL value with operands, and how values are read out of JSON columns."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .language import glob
from .language.tree import Op

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .params import Params

NUMBER, TEXT, BOOL, INTEGER = "numeric", "text", "boolean", "bigint"
_SIGNS = {Op.EQ: "=", Op.LT: "<", Op.LE: "<=", Op.GT: ">", Op.GE: ">="}


def compare(value: str, type_: str, op: Op, operands: Sequence[Any], params: Params) -> str:
    """`value` (SQL of this type; texts in the collation C) held against operands in stored form."""
    made: list[Any] = [Decimal(repr(o)) for o in operands] if type_ == NUMBER else list(operands)
    match op:
        case Op.IN:
            return f"{value} = any({params.add(made, type_ + '[]')})"
        case Op.BETWEEN:
            low, high = made
            return f"{value} >= {params.add(low, type_)} and {value} <= {params.add(high, type_)}"
        case Op.LIKE:
            pattern = glob.as_like(made[0])
            if pattern is not None:
                return f"{value} like {params.add(pattern, 'text')}"
            return f"{value} ~ {params.add(glob.as_regex(made[0]), 'text')}"
        case Op.MATCH:
            return f"{value} ~ {params.add(made[0], 'text')}"
    return f"{value} {_SIGNS[op]} {params.add(made[0], type_)}"


def scalar(value: str, type_: str) -> str:
    """A JSON value as SQL's; null when it is of another type, so that no cast can fail."""
    if type_ == TEXT:
        return f"(case when jsonb_typeof({value}) = 'string' then {value} #>> '{{}}' end collate \"C\")"
    kind = "number" if type_ == NUMBER else "boolean"
    return f"(case when jsonb_typeof({value}) = '{kind}' then ({value} #>> '{{}}')::{type_} end)"
