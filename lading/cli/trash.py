"""Commands on the trash: ls, restore, purge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import Count, DryRun, Json
from .run import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..client.client import Client
    from .output import Output

app = typer.Typer(no_args_is_help=True, help="What was removed, and can come back.")

Which = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID|LFN", help="Numbers of `lading trash ls`, or LFNs as they were."),
]


@app.command("ls")
def ls(
    under: Annotated[str, typer.Argument(metavar="[LFN]", help="Only what was at or below it.")] = "/",
    count: Count = False,
    json: Json = None,
) -> None:
    """List what is in the trash."""

    async def work(client: Client, out: Output) -> None:
        from .names import plain
        from .output import moment, size

        out.table(">id", "removed (UTC)", "by", "expires (UTC)", ">files", ">size", "LFN")
        number = 0
        async for item in client.trash.list(plain(under)):
            number += 1
            if not count:
                removed, expires = moment(item.removed_at), moment(item.expires)
                out.row(item, item.id, removed, item.removed_by, expires, item.files, size(item.bytes), item.lfn)
        if count:
            out.text(number, str(number))

    run(work, json)


@app.command()
def restore(
    which: Which = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="LFN", help="A directory to put it in.  [default: where it was]"),
    ] = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Bring back what was removed."""

    async def work(client: Client, out: Output) -> None:
        from .names import plain

        ids = await _ids(client, which)
        done = await client.trash.restore(ids, to=plain(to) if to else None, dry_run=dry_run)
        out.changes(done, "restored", dry_run=dry_run)

    run(work, json)


@app.command()
def purge(
    which: Which = None,
    everything: Annotated[bool, typer.Option("--all", help="All that you may purge.")] = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Remove for good; the bytes go at the server's next cleaning."""

    async def work(client: Client, out: Output) -> None:
        ids = [item.id async for item in client.trash.list()] if everything else await _ids(client, which)
        out.changes(await client.trash.purge(ids, dry_run=dry_run), "purged", dry_run=dry_run)

    run(work, json)


async def _ids(client: Client, which: Sequence[str] | None) -> list[int]:
    """Numbers for what was named: of an LFN that was removed more than once, the latest."""
    from ..model.errors import InvalidRequest, NotFound
    from ..model.lfn import shown
    from .names import plain

    if not which:
        raise InvalidRequest("name what: numbers of `lading trash ls`, or LFNs as they were")
    ids = []
    for text in which:
        if text.isascii() and text.isdigit() and len(text) < 19:
            ids.append(int(text))
            continue
        lfn = plain(text)
        found = [item async for item in client.trash.list(lfn) if item.lfn == lfn]
        if not found:
            raise NotFound(f"nothing removed at '{shown(lfn)}' is in the trash: see `lading trash ls`", lfn=lfn)
        ids.append(max(found, key=lambda item: item.removed_at).id)
    return ids
