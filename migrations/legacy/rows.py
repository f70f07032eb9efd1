"""What a reader of relational sources yields: batches of rows, a column at a time, every cell as the source's own bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lading.model.errors import InvalidRequest

Cell = bytes | None
Wanted = Mapping[str, frozenset[str]]  # table -> the columns somebody reads, all in lower case


class BadSource(InvalidRequest):
    """The source can't be read. `details` say where (`line`, `byte`); the message says what to do about it."""


class WrongCharset(ValueError):
    """Text that can't be in the character set somebody says. Readers turn it into a BadSource that says where."""


@dataclass(slots=True)
class Rows:
    """`count` rows of `table` (lower case). `columns[name]` has a cell per row; None is NULL; a column the table lacks is absent."""

    table: str
    columns: dict[str, Sequence[Cell]]
    count: int


@dataclass(slots=True)
class SourceInfo:
    """What the reader learned on the way; complete when its iteration has ended."""

    product: str = ""
    set_names: str | None = None
    layout: dict[str, list[str]] = field(default_factory=dict)  # table -> its columns, as the source spells them
    column_charsets: set[str] = field(default_factory=set)
    latin1: bool = True  # names are in a latin1 column, so that UTF-8 in them is worth a note
    other_tables: dict[str, int] = field(default_factory=dict)  # rows of tables nobody wants
    unknown_columns: dict[str, list[str]] = field(default_factory=dict)
    schema: str = ""
    non_ascii_cells: int = 0
    double_encoded: int = 0
    warnings: list[str] = field(default_factory=list)


class Reader(Protocol):
    """One per kind of source. Iterating reads it once, in constant memory; raises BadSource."""

    info: SourceInfo

    def __iter__(self) -> Iterator[Rows]: ...
