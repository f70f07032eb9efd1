"""Commands on who you are and what happened: login, logout, whoami, token, alias, audit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Count, DryRun, Json
from .run import run

if TYPE_CHECKING:
    from ..client.client import Client
    from .output import Output

app = typer.Typer()
token = typer.Typer(no_args_is_help=True, help="API tokens.")
alias = typer.Typer(no_args_is_help=True, help="Old prefixes of LFNs that still work.")


@app.command()
def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server's address: https://host:port.")],
    token_file: Annotated[
        str | None,
        typer.Option("--token-file", metavar="FILE", help="Read the token from FILE (- for stdin)."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="A name for this server, for --server.")] = "default",
    json: Json = None,
) -> None:
    """Keep the address of a server and your token for it in ~/.config/lading/credentials.toml."""
    from ..client import credentials
    from ..model.errors import CatalogError
    from .names import lines
    from .output import complain

    try:
        address = credentials.clean(url)
        if token_file:
            text = next(iter(lines(token_file)), "")
        elif sys.stdin.isatty():
            text = typer.prompt("Token", hide_input=True, err=True)
        else:
            text = sys.stdin.readline()
        found = credentials.find(address, text.strip() or None)
        if address.startswith("http://") and not address.startswith(
            ("http://localhost", "http://127.", "http://[::1]")
        ):
            complain("this address is not encrypted: your token can be read on the way; use https if the server has it")
    except CatalogError as error:
        complain(error.message)
        raise typer.Exit(error.exit_code) from None

    async def work(_: Client, out: Output) -> None:
        from ..client.client import Client

        async with Client(found.url, found.token) as client:
            me = await client.me()
        kept = credentials.save(name, found)
        value = {"url": found.url, "user": me.user, "server": name, "file": str(kept)}
        out.text(value, f"you are {me.user} at {found.url}; kept in {kept}")

    run(work, json, connect=False)


@app.command()
def logout(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The server.  [default: the one in use]")] = None,
    json: Json = None,
) -> None:
    """Forget a server's token here; it stays valid (see `lading token rm`)."""

    async def work(_: Client, out: Output) -> None:
        from ..client import credentials

        gone = credentials.forget(name)
        out.text({"server": gone}, f"forgot {gone}")

    run(work, json, connect=False)


@app.command()
def whoami(json: Json = None) -> None:
    """Show who the server takes you for."""

    async def work(client: Client, out: Output) -> None:
        from .output import facts, full

        me = await client.me()
        facts(out, {"url": client.url, **full(me)}, {"server": client.url, **full(me)})

    run(work, json)


@token.command("add")
def token_add(
    user: Annotated[str | None, typer.Option("--user", help="For whom.  [default: you]")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="read, write, admin, or as in read:/vo/dir.  [default: read and write]"),
    ] = None,
    days: Annotated[float, typer.Option("--days", min=0.0001, help="How long it lives.")] = 30,
    name: Annotated[str, typer.Option("--name", help="To know it by.")] = "",
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Make a token. It is shown this once: on a terminal with its facts, with --json as `token`."""

    async def work(client: Client, out: Output) -> None:
        from ..model.people import TokenSpec
        from .output import facts, moment

        spec = TokenSpec(user, seconds=round(days * 86400), name=name)
        if scope:
            spec.scopes = scope
        if dry_run:
            whom = user or (await client.me()).user
            out.text({"item": whom, "dry_run": True}, f"would make a token for {whom}: {', '.join(spec.scopes)}")
            return
        made = await client.tokens.add(spec)
        told = {
            "token": made.token,
            "id": made.id,
            "user": made.user,
            "scopes": made.scopes,
            "name": made.name,
        }
        facts(out, made, told | {"expires": moment(made.expires)})

    run(work, json)


@token.command("ls")
def token_ls(
    user: Annotated[str | None, typer.Option("--user", help="Whose.  [default: yours]")] = None,
    json: Json = None,
) -> None:
    """List tokens; the tokens themselves are not kept."""

    async def work(client: Client, out: Output) -> None:
        from .output import moment

        out.table("id", "user", "scopes", "name", "created (UTC)", "expires (UTC)", "last used (UTC)")
        for t in await client.tokens.list(user):
            times = moment(t.created), moment(t.expires), moment(t.last_used)
            out.row(t, t.id, t.user, ", ".join(t.scopes), t.name, *times)

    run(work, json)


@token.command("rm")
def token_rm(
    ids: Annotated[list[str], typer.Argument(metavar="ID")], dry_run: DryRun = False, json: Json = None
) -> None:
    """End tokens before their time."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import CatalogError

        for id in ids:
            try:
                if not dry_run:
                    await client.tokens.remove(id)
                out.text(
                    {"item": id, "changed": True} | ({"dry_run": True} if dry_run else {}),
                    f"{'would be ' * dry_run}ended: {id}",
                )
            except CatalogError as error:
                out.failed(id, error.fault())

    run(work, json)


@alias.command("ls")
def alias_ls(json: Json = None) -> None:
    """List aliases."""

    async def work(client: Client, out: Output) -> None:
        out.table("prefix", "means")
        for a in await client.aliases.list():
            out.row(a, a.prefix, a.target)

    run(work, json)


@alias.command("set")
def alias_set(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX")],
    target: Annotated[str, typer.Argument(metavar="TARGET")],
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Let every LFN at or below PREFIX mean the same below TARGET."""

    async def work(client: Client, out: Output) -> None:
        from ..model.api import Alias
        from .names import plain

        wanted = Alias(plain(prefix), plain(target))
        made = wanted if dry_run else await client.aliases.set(wanted)
        told = {"prefix": made.prefix, "target": made.target} | ({"dry_run": True} if dry_run else {})
        out.text(told, f"{'would be: ' * dry_run}{made.prefix} means {made.target}")

    run(work, json)


alias.command("add", hidden=True)(alias_set)


@alias.command("rm")
def alias_rm(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX")], dry_run: DryRun = False, json: Json = None
) -> None:
    """Take an alias away."""

    async def work(client: Client, out: Output) -> None:
        from .names import plain

        if not dry_run:
            await client.aliases.remove(plain(prefix))
        told = {"item": prefix, "changed": True} | ({"dry_run": True} if dry_run else {})
        out.text(told, f"{'would be ' * dry_run}removed: {prefix}")

    run(work, json)


@app.command()
def audit(
    user: Annotated[str | None, typer.Option("--user", help="What this user did.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Only this, as in file.register.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="A date and time (UTC), or as in 2d, 6h, 30m.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    count: Count = False,
    json: Json = None,
) -> None:
    """Show who did what, when and from where; the newest first."""

    async def work(client: Client, out: Output) -> None:
        from .output import moment
        from .values import instant

        out.table("when (UTC)", "user", "action", ">items", "targets", "from", "request")
        number = 0
        async for row in client.audit(user=user, action=action, since=instant(since) if since else None):
            if number == limit and not count:
                break
            number += 1
            if not count:
                targets = ", ".join(row.targets)
                out.row(row, moment(row.at), row.user, row.action, row.count, targets, row.origin, row.request_id)
        if count:
            out.text(number, str(number))

    run(work, json)
