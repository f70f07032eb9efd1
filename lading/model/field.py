"""Metadata fields: what a VO declares, and what is known of each. Values are in their shown form (see `FieldType`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct


class FieldType(StrEnum):
    """How a value is written in JSON, and what it means.

    `int` 64-bit · `float` finite · `bool` · `string` · `timestamp` '2024-01-01T12:00:00Z' (or an integer: microseconds
    since the epoch, UTC) · `date` '2024-01-01' · `json` anything.
    """

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    STRING = "string"
    TIMESTAMP = "timestamp"
    DATE = "date"
    JSON = "json"


class IndexState(StrEnum):
    """`none` · `building` being built while writers go on · `ready` used by searches · `failed` see `index_error`."""

    NONE = "none"
    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"


class FieldSpec(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A field to declare. `allowed`, `minimum` and `maximum` are values in their shown form.

    `pattern` is a regular expression of the query language's subset; it may match anywhere in the value, so anchor it
    with `^` and `$` to bind the whole. `required_below` lists directories below which a file may not lack the field.
    """

    vo: str
    name: str
    type: FieldType
    unit: str = ""
    description: str = ""
    allowed: list[Any] = []
    pattern: str | None = None
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None
    indexed: bool = False
    required_below: list[str] = []


class Field(FieldSpec, omit_defaults=True, forbid_unknown_fields=False):
    """A declared field, and its use. `on_files`, `on_dirs`: it was set on one at some time (a recount takes it back).

    `index_progress` runs from 0 to 1 while the index is built. `taken`: how many values, undeclared till then, it took
    over when it was declared just now.
    """

    on_files: bool = False
    on_dirs: bool = False
    index_state: IndexState = IndexState.NONE
    index_progress: float | None = None
    index_error: str | None = None
    taken: int = 0
