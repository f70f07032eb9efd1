"""`lading find`: files by what they are."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json, Site
from .run import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..client.client import Client
    from ..model.search import FacetAnswer
    from .output import Output

app = typer.Typer()

_RESOLVED = 1000


class Format(StrEnum):
    LFN = "lfn"
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    URLS = "urls"


@app.command()
def find(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Such as 'modality = \"MRI\" and size > 1 GB'.")],
    under: Annotated[
        str, typer.Option("--under", metavar="LFN", help="Only what is in this directory or below.")
    ] = "/",
    directories: Annotated[bool, typer.Option("-d", "--directories", help="Search directories, not files.")] = False,
    select: Annotated[
        str, typer.Option("--select", metavar="FIELDS", help="Fields to tell of each, with commas between.")
    ] = "",
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="FIELD", help="Order by a field; -FIELD downwards.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most so many.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Print how many there are instead.")] = False,
    facets: Annotated[
        bool, typer.Option("--facets", help="Print the fields among them (or --select) with values and counts instead.")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Tell how it would be answered instead.")] = False,
    format: Annotated[
        Format | None,
        typer.Option("--format", help="How to print.  [default: lfn; table with --select; json with --json]"),
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write csv and parquet.")
    ] = None,
    site: Site = None,
    json: Json = None,
) -> None:
    """Find files by their metadata, names, sizes, owners, replicas: see docs/reference/query-language.md."""

    async def work(client: Client, out: Output) -> None:
        from ..model.file import Kind
        from .names import plain

        kind = Kind.DIRECTORY if directories else Kind.FILE
        top = plain(under)
        fields = list(dict.fromkeys(f.strip() for f in select.split(",") if f.strip()))
        if count:
            number = await client.count(query, under=top, kind=kind)
            out.text(number, str(number))
        elif facets:
            show_facets(out, await client.facets(query, under=top, fields=fields))
        elif explain:
            told = await client.explain(query, under=top, kind=kind)
            out.text(told, "\n".join(told.steps))
        else:
            rows = client.find_batches(query, under=top, kind=kind, select=fields, sort=sort, limit=limit)
            if sort and sort.removeprefix("-") not in ("lfn", *fields):
                fields.append(sort.removeprefix("-"))
            chosen = format or (Format.JSON if json else Format.TABLE if fields and not out.json else None)
            chosen = chosen or (Format.JSON if fields else Format.LFN)
            await show(client, out, rows, fields, chosen, output, site, top)

    run(work, json)


async def show(
    client: Client,
    out: Output,
    batches: AsyncIterator[list[dict[str, Any]]],
    fields: list[str],
    format: Format,
    path: str | None,
    site: str | None,
    under: str,
) -> None:
    """Print or write what was found, as it comes (parquet: row group by row group)."""
    out.json = format is Format.JSON  # or what went wrong would stand among LFNs and URLs
    if format is Format.CSV:
        from .found import write_csv

        out.done += await write_csv(batches, fields, path)
    elif format is Format.PARQUET:
        from .found import write_parquet

        out.done += await write_parquet(batches, await client.types(["lfn", *fields], under), path)
    elif format is Format.TABLE:
        from .output import encoded

        out.table("LFN", *fields)
        async for rows in batches:
            for row in rows:
                cells = [row.get(f) for f in fields]
                out.row(row, row["lfn"], *[c if c is None or isinstance(c, str) else encoded(c) for c in cells])
    elif format is Format.JSON:
        from .output import encoded

        async for rows in batches:
            out.done += len(rows)
            out.raw("\n".join(encoded(row) for row in rows))
    elif format is Format.URLS:
        await show_urls(client, out, batches, site)
    else:
        from ..model.lfn import shown

        async for rows in batches:
            out.done += len(rows)
            out.raw("\n".join(shown(row["lfn"], 5000) for row in rows))


async def show_urls(
    client: Client, out: Output, batches: AsyncIterator[list[dict[str, Any]]], site: str | None
) -> None:
    """The best URL of each file; a file that can't be read now is an item that failed."""
    from ..model.errors import Fault

    async for rows in batches:
        for start in range(0, len(rows), _RESOLVED):
            names = [row["lfn"] for row in rows[start : start + _RESOLVED]]
            for outcome in await client.resolve(names, site=site):
                if outcome.value is None:
                    out.outcomes([outcome], lambda _: None)
                    continue
                url = next((s.url for s in outcome.value.sources if s.url), None)
                if url is None:
                    why = outcome.value.why or "only the server can reach its replicas: use 'lading get'"
                    out.failed(outcome.item, Fault("unavailable", f"'{outcome.item}' has no URL: {why}"))
                else:
                    out.done += 1
                    out.raw(url)


def show_facets(out: Output, answer: FacetAnswer) -> None:
    from .output import encoded

    if out.json:
        out.row(answer)
        return
    out.table("field", "value", ">files")
    for facet in answer.facets:
        name = facet.field + (f" [{facet.unit}]" if facet.unit else "")
        for value in facet.values:
            out.row(None, name, value.value if isinstance(value.value, str) else encoded(value.value), value.count)
            name = ""
        if facet.others:
            rest = f"and {facet.others} other values"
            if facet.minimum is not None:
                rest += f", from {facet.minimum} to {facet.maximum}"
            out.row(None, name, rest, facet.count - sum(v.count for v in facet.values))
    out.row(None, "", "files that match", answer.count)
    for name in answer.left:
        out.row(None, name, "no time was left for it: ask with --select", "")
