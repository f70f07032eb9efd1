"""What a search found, written as CSV or Parquet."""

from __future__ import annotations

import csv
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TextIO

from ..client.local import LocalError, told
from ..model.errors import InvalidRequest
from .output import encoded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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


async def write_parquet(batches: Batches, fields: list[str], path: str | None) -> int:
    """A Parquet file. The types of the columns are those of the first rows; lists and objects become JSON.

    Raises LocalError when pyarrow is not installed, InvalidRequest when a column changes its type or `path` is missing.
    """
    try:
        import pyarrow as pa  # type: ignore[import-not-found, unused-ignore]  # it may be installed or not  # an extra of the user's
        from pyarrow import parquet as pq  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise LocalError("Parquet needs pyarrow: install it with 'pip install pyarrow', or use --format csv") from None
    if not path:
        raise InvalidRequest("say where to write the Parquet file: --output FILE")
    number, writer = 0, None
    waiting: list[dict[str, Any]] = []

    def flush() -> None:
        nonlocal writer
        columns = {n: [_flat(row.get(n)) for row in waiting] for n in ("lfn", *fields)}
        try:
            table = pa.table(columns) if writer is None else pa.table(columns, schema=writer.schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InvalidRequest(f"a column has values of different types: {error}") from None
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


def _flat(value: Any) -> Any:
    return encoded(value) if isinstance(value, list | dict) else value
