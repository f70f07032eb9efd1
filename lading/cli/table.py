"""Values of many names from a file: CSV or JSON lines, in constant memory."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import msgspec

from ..model.errors import Fault, InvalidRequest
from ..model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH = 1000
LONGEST = 1 << 24  # bytes of one line
HEAVIEST = 4 << 20  # characters of the lines of one call


class Line(NamedTuple):
    """A name and its values, or what is wrong with the line."""

    number: int
    lfn: str
    values: dict[str, Any]
    wrong: str = ""
    weight: int = 0


class _Json(msgspec.Struct):
    """A line of `lading meta get`, or only its first two members. What is inherited is not set again."""

    lfn: str
    values: dict[str, Any]
    own: list[str] | None = None


def bad(line: Line) -> Outcome[None]:
    return Outcome(line.lfn, error=Fault("invalid_request", line.wrong))


def size(stream: BinaryIO) -> int | None:
    return os.fstat(stream.fileno()).st_size if stream.seekable() else None


def guess(path: str, stream: BinaryIO) -> str:
    """`csv` or `json`, by the name of the file or its first character. Raises InvalidRequest for a pipe that can't be
    seen into."""
    ending = path.lower().rpartition(".")[2]
    if ending in ("csv", "tsv"):
        return "csv"
    if ending in ("json", "jsonl", "ndjson"):
        return "json"
    peek = getattr(stream, "peek", None)
    if peek is None:
        raise InvalidRequest("say what it is: --format csv or --format json")
    return "json" if peek(64)[:64].lstrip().startswith(b"{") else "csv"


def batches(
    stream: BinaryIO, format: str, column: str, delimiter: str, value: Callable[[str, str, str], Any]
) -> Iterator[list[Line]]:
    """The lines, in lists of one call each. Raises InvalidRequest for a file that is not what it should be."""
    if format not in ("csv", "json"):
        raise InvalidRequest("--format is csv or json")
    batch: list[Line] = []
    weight = 0
    for line in _csv(stream, column, delimiter, value) if format == "csv" else _json(stream):
        batch.append(line)
        weight += line.weight
        if len(batch) == BATCH or weight > HEAVIEST:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _json(stream: BinaryIO) -> Iterator[Line]:
    decoder = msgspec.json.Decoder(_Json)
    for number, raw in enumerate(_raw(stream), 1):
        if raw.isspace():
            continue
        try:
            line = decoder.decode(raw)
            values = line.values if line.own is None else {k: v for k, v in line.values.items() if k in line.own}
            yield Line(number, line.lfn, values, "", len(raw))
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            yield Line(number, "", {}, f"not a name and its values as one JSON object: {error}")


def _csv(stream: BinaryIO, column: str, delimiter: str, value: Callable[[str, str, str], Any]) -> Iterator[Line]:
    csv.field_size_limit(LONGEST)
    if len(delimiter) != 1:
        raise InvalidRequest("--delimiter is one character")
    rows = csv.reader(
        (raw.decode("utf-8", "surrogateescape") for raw in _raw(stream)), delimiter=delimiter, strict=True
    )
    try:
        header = [name.strip().removeprefix("\ufeff") for name in next(rows, [])]
        if header.count(column) != 1 or len(set(header)) != len(header):
            raise InvalidRequest(f"the first line must name the columns, each once, one of them '{column}'")
        at = header.index(column)
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                yield Line(rows.line_num, row[0], {}, f"{len(row)} cells where there are {len(header)} columns")
                continue
            lfn = row[at]
            values = {
                name: value(lfn, name, cell) for name, cell in zip(header, row, strict=True) if cell and name != column
            }
            yield Line(rows.line_num, lfn, values, "", sum(map(len, row)))
    except csv.Error as error:
        raise InvalidRequest(f"line {rows.line_num} is no CSV: {error}") from None


def _raw(stream: BinaryIO) -> Iterator[bytes]:
    while raw := stream.readline(LONGEST):
        if len(raw) == LONGEST and not raw.endswith(b"\n"):
            raise InvalidRequest(f"a line is longer than {LONGEST} bytes")
        yield raw
