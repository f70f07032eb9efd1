"""Fields and short ways to ask, for the tests of the query language."""

from __future__ import annotations

from typing import Any

from lading.model.field import Field, FieldType
from metadata.language.bind import bind
from metadata.language.errors import QueryError
from metadata.language.evaluate import Record, evaluate
from metadata.language.parse import parse
from metadata.moments import parse_time

NOW = parse_time("2024-06-15T12:00:00Z")
FIELDS = {
    name: Field("vo", name, type_)
    for name, type_ in {
        "modality": FieldType.STRING,
        "site": FieldType.STRING,
        "voxel_size": FieldType.FLOAT,
        "subject_age": FieldType.INT,
        "acquired": FieldType.DATE,
        "seen": FieldType.TIMESTAMP,
        "qc": FieldType.BOOL,
        "params": FieldType.JSON,
        "params.full.name": FieldType.INT,
        "dotted.tree": FieldType.JSON,
        "run-id": FieldType.INT,
    }.items()
}


def ask(query: str, own: dict[str, Any] | None = None, **standard: Any) -> bool:
    """The answer of `query` for a file of these own and standard values, in stored form."""
    return evaluate(bind(parse(query), FIELDS, now=NOW), Record(own or {}, {}, standard))


def refusal(query: str) -> QueryError:
    """The error of `query`, whoever finds it."""
    try:
        bind(parse(query), FIELDS, now=NOW)
    except QueryError as error:
        return error
    raise AssertionError(f"{query!r} was not refused")
