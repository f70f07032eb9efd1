"""`lading watch` and `lading hook`: what is done, as it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import DryRun, Json
from .run import run

if TYPE_CHECKING:
    from ..client.client import Client
    from .output import Output

app = typer.Typer()
hook = typer.Typer(no_args_is_help=True, help="Webhooks: URLs that events are sent to; for administrators.")
Action = Annotated[
    list[str] | None, typer.Option("--action", help="Only these, as in file.lost; file.* for all that begin so.")
]
Under = Annotated[str, typer.Option("--under", metavar="DIR", help="Only what is about it, or something below it.")]


@app.command()
def watch(
    action: Action = None,
    under: Under = "/",
    after: Annotated[
        str | None, typer.Option("--after", metavar="CURSOR", help="Go on after it, as the last line told.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=0, help="End after so many; 0: never.")] = 0,
    json: Json = None,
) -> None:
    """Show what is done, as it is done, until you interrupt it: all of it for administrators, else what you did and
    what befell your files. In JSON each line has the cursor to go on from with --after."""

    async def work(client: Client, out: Output) -> None:
        from .output import full, moment

        seen = 0
        async for event, cursor in client.events.watch(after, actions=action or (), under=under):
            targets = ", ".join(event.targets[:3]) + (" …" if event.count > 3 else "")
            told = f"{moment(event.at)}  {event.user}  {event.action}  {event.count}  {targets}"
            out.text(full(event) | {"cursor": cursor}, told)
            out.flush()
            _push()
            seen += 1
            if seen == count:
                return

    run(work, json)


def _push() -> None:
    import sys

    sys.stdout.flush()


@hook.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="http:// or https://; without a name and password.")],
    action: Action = None,
    under: Under = "/",
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Send events to a URL from now on, signed with a secret that is shown once."""

    async def work(client: Client, out: Output) -> None:
        from ..model.event import NewHook
        from .names import plain
        from .values import struct

        new = struct(NewHook, {"url": url, "actions": action or [], "under": plain(under)})
        if dry_run:
            out.text({"item": url, "dry_run": True}, f"events would be sent to {url}")
            return
        made = await client.events.add_hook(new)
        out.text(made, f"webhook {made.id}: keep its secret, it is not shown again: {made.secret}")

    run(work, json)


@hook.command()
def ls(json: Json = None) -> None:
    """List webhooks, and how they do."""

    async def work(client: Client, out: Output) -> None:
        from .output import moment

        out.table(">number", "url", "actions", "under", ">sent", "last (UTC)", ">failures", "error", "next try (UTC)")
        for h in await client.events.hooks():
            actions = ", ".join(h.actions) or "all"
            out.row(
                h, h.id, h.url, actions, h.under, h.delivered, moment(h.at), h.failures, h.error, moment(h.next_try)
            )

    run(work, json)


@hook.command()
def rm(
    numbers: Annotated[list[int], typer.Argument(metavar="N...", min=1, help="Their numbers.")],
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Send no more to these."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import CatalogError

        for number in numbers:
            try:
                if not dry_run:
                    await client.events.remove_hook(number)
            except CatalogError as error:
                out.failed(str(number), error.fault())
            else:
                word = "would be removed" if dry_run else "removed"
                out.text({"item": number, "dry_run": dry_run, "changed": not dry_run}, f"{word}: webhook {number}")

    run(work, json)
