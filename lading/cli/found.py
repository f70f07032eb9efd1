"""What a search found, written as CSV or Parquet."""

from __future__ import annotations

import csv
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TextIO

from ..client.columns import arrow
from ..client.local import LocalError, told
from ..model.errors import InvalidRequest
from .output import encoded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..model.field import FieldType

    Batches = AsyncIterator[list[dict[str, Any]]]

_GROUP = 50_000  # rows of a group in a Parquet file


async def write_csv(batches: Batches, fields: list[str], path: str | None) -> int:
    """RFC 4180, a header first, to `path` or stdout; what is no text is JSON. Returns the number of rows."""
    number = 0
    with told(path) if path else nullcontext(), _opened(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["lfn", *fields])
        async for rows in batches:
            writer.writerows([row["lfn"], *[_cell(row.get(f)) for f in fields]] for row in rows)
            number += len(rows)
    return number


def _opened(path: str | None) -> AbstractContextManager[TextIO]:
    return open(path, "w", newline="", encoding="utf-8") if path else nullcontext(sys.stdout)


def _cell(value: Any) -> Any:
    return "" if value is None else value if isinstance(value, str) else encoded(value)


async def write_parquet(batches: Batches, kinds: dict[str, FieldType], path: str | None) -> int:
    """A Parquet file, its columns typed as the fields are declared (see `client.columns.arrow`).

    Raises LocalError when pyarrow is not installed, InvalidRequest for a value of another type or when `path` is
    missing.
    """
    try:
        from pyarrow import parquet as pq  # type: ignore[import-untyped, unused-ignore]  # it may be installed or not
    except ImportError:
        raise LocalError("Parquet needs pyarrow: install it with 'pip install pyarrow', or use --format csv") from None
    if not path:
        raise InvalidRequest("say where to write the Parquet file: --output FILE")
    number, writer = 0, None
    waiting: list[dict[str, Any]] = []

    def flush() -> None:
        nonlocal writer
        table = arrow(waiting, kinds)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
        waiting.clear()

    with told(path):
        try:
            async for rows in batches:
                waiting += rows
                number += len(rows)
                if len(waiting) >= _GROUP:
                    flush()
            if waiting or writer is None:
                flush()
        finally:
            if writer is not None:
                writer.close()
    return number
