"""What a search tells, as typed columns: for Arrow, Parquet and pandas."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ..model.errors import InvalidRequest
from ..model.field import FieldType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ..model.field import Field

LISTS = ("se", "state", "checksum")
_STANDARD = {
    "size": FieldType.INT, "replicas": FieldType.INT, "ctime": FieldType.TIMESTAMP, "mtime": FieldType.TIMESTAMP,
    **dict.fromkeys(
        ("lfn", "path", "name", "dir", "ext", "guid", "adler32", "crc32", "crc32c", "cksum", "md5", "sha1", "sha256",
         "sha512", "owner", "group", "status", "kind", "comment"),
        FieldType.STRING,
    ),
}  # fmt: skip


def types(names: Iterable[str], declared: Iterable[Field], under: str) -> dict[str, FieldType]:
    """The type of each column. A part of JSON, and what two VOs that `under` may mean declare otherwise, is JSON."""
    vo = under.split("/", 2)[1] if under.startswith("/") else ""
    kinds: dict[str, set[FieldType]] = {}
    for field in declared:
        if vo in ("", field.vo):
            kinds.setdefault(field.name, set()).add(field.type)

    def one(name: str) -> FieldType:
        found = {_STANDARD[name]} if name in _STANDARD else kinds.get(name, set())
        return next(iter(found)) if len(found) == 1 else FieldType.JSON

    return {name: one(name) for name in names}


def arrow(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, FieldType]) -> Any:
    """A `pyarrow.Table`: int64, double, bool, string, timestamp[us, UTC], date32; JSON as text, fields of many values
    as lists.

    Raises ImportError without pyarrow, InvalidRequest for a value that is none of its column's type.
    """
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]  # it may be installed or not

    def column(name: str, kind: FieldType) -> Any:
        if name in LISTS:
            return pa.array([row.get(name) for row in rows], pa.list_(pa.string()))
        read, type_ = _READ.get(kind, _same), _arrow_type(pa, kind)
        try:
            return pa.array([None if (v := row.get(name)) is None else read(v) for row in rows], type_)
        except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, TypeError) as error:
            raise InvalidRequest(f"'{name}' is {kind.value} and has other values too: {error}", field=name) from None

    return pa.table({name: column(name, kind) for name, kind in kinds.items()})


def pandas(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, FieldType]) -> Any:
    """A `pandas.DataFrame`: Int64 (whole, with gaps), float64, boolean, datetime64[us, UTC]; else objects. Raises
    ImportError without pandas; a column with a value of another type is one of objects."""
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]  # its stubs are a package of their own

    def column(name: str, kind: FieldType) -> Any:
        read, dtype = _READ.get(kind, _same) if kind is not FieldType.JSON else _same, _DTYPES.get(kind, "object")
        values = [row.get(name) for row in rows]
        try:
            return pd.Series([None if v is None else read(v) for v in values], dtype=dtype)
        except (ValueError, TypeError):
            return pd.Series(values, dtype="object")

    return pd.DataFrame({name: column(name, kind) for name, kind in kinds.items()})


def _same(value: Any) -> Any:
    return value


_READ: dict[FieldType, Callable[[Any], Any]] = {
    FieldType.FLOAT: float,  # JSON has one kind of number: 1.0 comes as 1
    FieldType.TIMESTAMP: datetime.fromisoformat,
    FieldType.DATE: date.fromisoformat,
    FieldType.JSON: lambda value: msgspec.json.encode(value).decode(),
}
_DTYPES = {
    FieldType.INT: "Int64",
    FieldType.FLOAT: "float64",
    FieldType.BOOL: "boolean",
    FieldType.TIMESTAMP: "datetime64[us, UTC]",
}


def _arrow_type(pa: Any, kind: FieldType) -> Any:
    return {
        FieldType.INT: pa.int64(),
        FieldType.FLOAT: pa.float64(),
        FieldType.BOOL: pa.bool_(),
        FieldType.TIMESTAMP: pa.timestamp("us", "UTC"),
        FieldType.DATE: pa.date32(),
    }.get(kind, pa.string())
