"""Commands on rights: chmod, chown, acl get, acl set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import DryRun, FromFile, Json, Lfns, Recursive
from .run import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..client.client import Client
    from ..model.api import SetAttributes
    from ..model.file import Entry
    from ..model.outcome import Outcome
    from .output import Output

app = typer.Typer()
acl = typer.Typer(no_args_is_help=True, help="Access control lists.")


@app.command()
def chmod(
    mode: Annotated[str, typer.Argument(metavar="MODE", help="Octal (640) or symbolic (u+rwx,g-w,o=,a+X).")],
    lfns: Lfns = None,
    recursive: Recursive = False,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Change permissions."""

    async def work(client: Client, out: Output) -> None:
        from ..model.api import SetAttributes
        from .names import batches
        from .symbolic import applied, is_octal, octal

        bits = octal(mode) if is_octal(mode) else None
        applied("" if is_octal(mode) else mode, 0, directory=False) if not is_octal(mode) else None
        async for names in batches(client, lfns, from_file):
            if bits is not None:
                order = SetAttributes(names, mode=bits, recursive=recursive, dry_run=dry_run)
                out.changes(await client.set_attributes(order), "changed", dry_run=dry_run)
            else:
                await _symbolic(client, out, mode, names, recursive, dry_run)

    run(work, json)


async def _symbolic(
    client: Client, out: Output, mode: str, names: Sequence[str], recursive: bool, dry_run: bool
) -> None:
    """What a symbolic mode makes of an entry depends on the entry: look first, then change those of a kind together."""
    from ..model.api import SetAttributes
    from ..model.file import Kind
    from .symbolic import applied

    async def change(entries: Sequence[Entry]) -> None:
        groups: dict[int, list[str]] = {}
        for entry in entries:
            if entry.kind is not Kind.LINK:
                wanted = applied(mode, entry.mode, directory=entry.kind is Kind.DIRECTORY)
                groups.setdefault(wanted, []).append(entry.lfn)
        for bits, lfns in groups.items():
            done = await client.set_attributes(SetAttributes(lfns, mode=bits, dry_run=dry_run))
            out.changes(done, "changed", dry_run=dry_run)

    tops: list[Entry] = []
    out.outcomes(await client.stat(names), lambda o: tops.append(o.value) if o.value else None)
    await change(tops)
    for top in tops if recursive else ():
        if top.kind is Kind.DIRECTORY:
            async for _, entries in client.walk(top.lfn, verbose=True):
                await change(entries)


@app.command()
def chown(
    owner: Annotated[str, typer.Argument(metavar="USER[:GROUP]", help="A new owner, a new group (:GROUP), or both.")],
    lfns: Lfns = None,
    recursive: Recursive = False,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Change owner and group."""

    async def work(client: Client, out: Output) -> None:
        from ..model.api import SetAttributes
        from ..model.errors import InvalidRequest

        user, _, group = owner.partition(":")
        if not user and not group:
            raise InvalidRequest("name an owner, a group as :GROUP, or both as USER:GROUP")
        order = SetAttributes([], owner=user or None, group=group or None, recursive=recursive, dry_run=dry_run)
        await _set(client, out, order, lfns, from_file)

    run(work, json)


@app.command()
def comment(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="An empty text takes the comment away.")],
    lfns: Lfns = None,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Set the comment of files and directories."""

    async def work(client: Client, out: Output) -> None:
        from ..model.api import SetAttributes

        await _set(client, out, SetAttributes([], comment=text, dry_run=dry_run), lfns, from_file)

    run(work, json)


@acl.command("get")
def acl_get(lfns: Lfns = None, from_file: FromFile = None, json: Json = None) -> None:
    """Show owner, group, mode and access control list."""

    async def work(client: Client, out: Output) -> None:
        from .names import batches
        from .show import mode

        def show(outcome: Outcome[Entry]) -> None:
            entry = outcome.value
            if entry is None:
                return
            facts = {
                "lfn": entry.lfn,
                "owner": entry.owner,
                "group": entry.group,
                "mode": f"{entry.mode:04o}",
            }
            head = f"# {entry.lfn}\n# {entry.owner}:{entry.group} {mode(entry)}"
            if out.json:
                out.row(facts | {"acl": entry.acl})
                return
            out.done += 1
            for line in [*head.split("\n"), *entry.acl, ""]:
                out.text(None, line)
                out.done -= 1

        async for names in batches(client, lfns, from_file):
            out.outcomes(await client.stat(names), show)

    run(work, json)


@acl.command("set")
def acl_set(
    lfns: Lfns = None,
    modify: Annotated[
        list[str] | None,
        typer.Option("-m", "--modify", metavar="ENTRY", help="Add or change, as in user:alice:r-x."),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("-x", "--remove", metavar="ENTRY", help="Take away, as in group:vip: ."),
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option("--replace", metavar="ENTRY", help="The whole list is to be these entries."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take every entry away.")] = False,
    recursive: Recursive = False,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Change access control lists. Entries: user:NAME:rwx, group:NAME:r-x, mask::rwx, and default:... for new
    children."""

    async def work(client: Client, out: Output) -> None:
        from ..model.api import SetAttributes
        from ..model.errors import InvalidRequest

        whole = [] if clear else replace
        if whole is None and not modify and not remove:
            raise InvalidRequest("say what to change: -m ENTRY, -x ENTRY, --replace ENTRY or --clear")
        order = SetAttributes(
            [], acl=whole, acl_set=modify or [], acl_unset=remove or [], recursive=recursive, dry_run=dry_run
        )
        await _set(client, out, order, lfns, from_file)

    run(work, json)


async def _set(
    client: Client, out: Output, order: SetAttributes, lfns: Sequence[str] | None, from_file: str | None
) -> None:
    import msgspec

    from .names import batches

    async for names in batches(client, lfns, from_file):
        done = await client.set_attributes(msgspec.structs.replace(order, lfns=names))
        out.changes(done, "changed", dry_run=order.dry_run)
