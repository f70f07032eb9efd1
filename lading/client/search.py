"""The search part of the client: files by what they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from ..model.errors import CatalogError, Fault, Unavailable, from_fault
from ..model.field import Field, FieldType
from ..model.file import Kind
from ..model.search import Count, Explained, FacetAnswer, Facets, Find, Question
from . import columns
from .http import Unsendable
from .local import LocalError
from .retry import FIRST, MOST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .http import Http

_LINES = msgspec.json.Decoder()


class _Last(msgspec.Struct):
    error: Fault


class Search:
    """Calls that take a query (see docs/reference/query-language.md). Only what you may read is found."""

    http: Http

    async def find(
        self,
        query: str,
        *,
        under: str = "/",
        kind: Kind = Kind.FILE,
        select: Sequence[str] = (),
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Each file found: `{"lfn": …}` with the selected fields that it has, as they come, in constant memory.

        In order of directories and names, or by the field `sort` (`-field`: downwards). When the connection breaks, the
        search goes on behind the last file. Raises QueryError's InvalidRequest for what is no query.
        """
        async for rows in self.find_batches(
            query, under=under, kind=kind, select=select, sort=sort, limit=limit, cursor=cursor
        ):
            for row in rows:
                yield row

    async def find_batches(
        self,
        query: str,
        *,
        under: str = "/",
        kind: Kind = Kind.FILE,
        select: Sequence[str] = (),
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """`find`, some thousand files at a time: for who has millions to go through."""
        body = Find(query, under, kind, [*select], sort, limit, cursor)
        failed = 0
        while body.limit is None or body.limit > 0:
            try:
                async for rows in self._some(body):
                    failed = 0
                    body.cursor = _cursor(rows[-1], sort)
                    if body.limit is not None:
                        body.limit -= len(rows)
                    yield rows
                return
            except CatalogError as error:
                failed += 1
                if not error.retryable or failed >= self.http.tries:
                    raise
                await asyncio.sleep(min(MOST, FIRST * 2 ** (failed - 1)))

    async def _some(self, body: Find) -> AsyncIterator[list[dict[str, Any]]]:
        """Whole lines as they come. A stream that was cut raises what it was cut for."""
        try:
            data = msgspec.json.encode(body)
        except UnicodeEncodeError:
            raise Unsendable("the query is not valid UTF-8") from None
        headers = {"Accept": "application/x-ndjson, application/json", "Content-Type": "application/json"}
        rest = b""
        async with self.http.stream("POST", "/v1/find", headers=headers, data=data, wait=120.0) as response:
            while part := await response.content.readany():
                whole, newline, after = part.rpartition(b"\n")
                if not newline:
                    rest += part
                    continue
                lines, rest = rest + whole, after
                rows: list[dict[str, Any]] = _LINES.decode_lines(lines)
                cut = rows.pop() if rows and "lfn" not in rows[-1] else None
                if rows:
                    yield rows
                if cut is not None:  # the last line of a stream that was cut says why
                    raise from_fault(msgspec.convert(cut, _Last).error)
        if rest:
            raise Unavailable("the answer of the search ended in the middle of a line")

    async def count(self, query: str, *, under: str = "/", kind: Kind = Kind.FILE) -> int:
        """How many files (or directories) it finds: exact."""
        body = Question(query, under, kind)
        return (await self.http.call("POST", "/v1/find/count", Count, body=body, wait=120.0)).count

    async def facets(
        self,
        query: str,
        *,
        under: str = "/",
        fields: Sequence[str] = (),
        top: int = 20,
        buckets: int = 20,
        seconds: float = 10.0,
    ) -> FacetAnswer:
        """The fields among what it finds, with their values and how many files have each."""
        body = Facets(query, under, [*fields], top, buckets, seconds)
        return await self.http.call("POST", "/v1/find/facets", FacetAnswer, body=body, wait=120.0)

    async def explain(self, query: str, *, under: str = "/", kind: Kind = Kind.FILE) -> Explained:
        """How the server would answer, and which index is missing."""
        body = Question(query, under, kind)
        return await self.http.call("POST", "/v1/find/explain", Explained, body=body, wait=120.0)

    async def to_arrow(self, query: str, **options: Any) -> Any:
        """What `find` finds, with its options, as a `pyarrow.Table`, its columns typed as the fields are declared.

        Raises LocalError without pyarrow, InvalidRequest for a value that is none of its field's type.
        """
        rows, kinds = await self._columns(query, options)
        try:
            return columns.arrow(rows, kinds)
        except ImportError:
            raise LocalError("Arrow tables need pyarrow: install it with 'pip install pyarrow'") from None

    async def to_pandas(self, query: str, **options: Any) -> Any:
        """The same as a `pandas.DataFrame`. Raises LocalError without pandas."""
        rows, kinds = await self._columns(query, options)
        try:
            return columns.pandas(rows, kinds)
        except ImportError:
            raise LocalError("data frames need pandas: install it with 'pip install pandas'") from None

    async def _columns(self, query: str, options: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, FieldType]]:
        rows = [row async for row in self.find(query, **options)]
        return rows, await self.types(["lfn", *options.get("select", ())], options.get("under", "/"))

    async def types(self, names: Sequence[str], under: str = "/") -> dict[str, FieldType]:
        """The types of fields, standard ones and those that the VO of `under` declares; of all else JSON."""
        declared = await self.http.call("GET", "/v1/fields", list[Field])
        return columns.types(dict.fromkeys(names), declared, under)


def _cursor(row: dict[str, Any], sort: str | None) -> str:
    """Behind this row (see `model.search.Find`)."""
    name = (sort or "lfn").removeprefix("-")
    return str(row["lfn"]) if not sort or sort == "lfn" else msgspec.json.encode([row.get(name), row["lfn"]]).decode()
