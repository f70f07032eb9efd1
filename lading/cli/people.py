"""Commands for administrators on people: user, group, vo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DryRun, Json, Name
from .run import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..client.client import Client
    from .output import Output

user = typer.Typer(no_args_is_help=True, help="Users.")
group = typer.Typer(no_args_is_help=True, help="Groups.")
vo = typer.Typer(no_args_is_help=True, help="Virtual organisations.")

Groups = Annotated[
    list[str] | None,
    typer.Option("--group", "-g", help="The first is the primary one. May be given more than once."),
]
Dn = Annotated[list[str] | None, typer.Option("--dn", help="X.509 subject, as in /C=FR/O=.../CN=... .")]
Email = Annotated[str | None, typer.Option("--email")]
FullName = Annotated[str | None, typer.Option("--full-name")]
Admin = Annotated[bool | None, typer.Option("--admin/--no-admin", help="Administers the whole server.")]


@user.command("add")
def user_add(
    name: Name,
    groups: Groups = None,
    dn: Dn = None,
    email: Email = None,
    full_name: FullName = None,
    admin: Admin = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Add a user."""

    async def work(client: Client, out: Output) -> None:
        from ..model.people import UserSpec
        from .values import chosen, struct

        values = chosen(groups=groups, dns=dn, email=email, full_name=full_name, admin=admin)
        spec = struct(UserSpec, {"name": name} | values)
        await _do(out, dry_run, f"would add user {name}", {"item": name}, lambda: client.users.add(spec))

    run(work, json)


@user.command("set")
def user_set(
    name: Name,
    groups: Groups = None,
    dn: Dn = None,
    email: Email = None,
    full_name: FullName = None,
    admin: Admin = None,
    disabled: Annotated[bool | None, typer.Option("--disabled/--enabled", help="Let nobody in as this user.")] = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Change a user; groups and DNs replace those there are."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from ..model.people import UserChange
        from .values import chosen, struct

        values = chosen(groups=groups, dns=dn, email=email, full_name=full_name, admin=admin, disabled=disabled)
        if not values:
            raise InvalidRequest("say what to change: see `lading user set --help`")
        change = struct(UserChange, values)
        text = f"would change {', '.join(values)} of user {name}"
        await _do(out, dry_run, text, {"item": name}, lambda: client.users.set(name, change))

    run(work, json)


@user.command("ls")
def user_ls(json: Json = None) -> None:
    """List users."""

    async def work(client: Client, out: Output) -> None:
        out.table("name", "groups", "rights", "full name", "DNs")
        async for u in client.users.list():
            marks = {"admin": u.admin, "disabled": u.disabled, "placeholder": u.placeholder}
            rights = [mark for mark, on in marks.items() if on] + [f"admin of {v}" for v in u.administers]
            out.row(u, u.name, ", ".join(u.groups), ", ".join(rights), u.full_name, ", ".join(u.dns))

    run(work, json)


@user.command("show")
def user_show(name: Name, json: Json = None) -> None:
    """Show one user."""

    async def work(client: Client, out: Output) -> None:
        _tell(out, await client.users.show(name))

    run(work, json)


@user.command("rm")
def user_rm(name: Name, dry_run: DryRun = False, json: Json = None) -> None:
    """Take a user out; what they own stays."""

    async def work(client: Client, out: Output) -> None:
        await _do(out, dry_run, f"would remove user {name}", {"item": name}, lambda: client.users.remove(name))

    run(work, json)


@group.command("add")
def group_add(
    name: Name,
    vo: Annotated[str | None, typer.Option("--vo", help="The VO it belongs to.")] = None,
    fqan: Annotated[
        list[str] | None, typer.Option("--fqan", help="VOMS attribute, as in /biomed/Role=production.")
    ] = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Add a group."""

    async def work(client: Client, out: Output) -> None:
        from ..model.people import GroupSpec

        spec = GroupSpec(name, vo, fqan or [])
        await _do(out, dry_run, f"would add group {name}", {"item": name}, lambda: client.groups.add(spec))

    run(work, json)


@group.command("ls")
def group_ls(json: Json = None) -> None:
    """List groups."""

    async def work(client: Client, out: Output) -> None:
        out.table("name", "VO", ">members", "FQANs")
        async for g in client.groups.list():
            out.row(g, g.name, g.vo, g.members, ", ".join(g.fqans))

    run(work, json)


@group.command("rm")
def group_rm(name: Name, dry_run: DryRun = False, json: Json = None) -> None:
    """Take a group out."""

    async def work(client: Client, out: Output) -> None:
        await _do(out, dry_run, f"would remove group {name}", {"item": name}, lambda: client.groups.remove(name))

    run(work, json)


@vo.command("set")
def vo_set(
    name: Name,
    admin: Annotated[
        list[str] | None, typer.Option("--admin", help="An administrator; may be given more than once.")
    ] = None,
    description: Annotated[str, typer.Option("--description")] = "",
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Make a VO, or replace the administrators of one."""

    async def work(client: Client, out: Output) -> None:
        from ..model.people import VOSpec

        spec = VOSpec(name, admin or [], description)
        await _do(out, dry_run, f"would set VO {name}", {"item": name}, lambda: client.vos.set(spec))

    run(work, json)


vo.command("add", hidden=True)(vo_set)


@vo.command("ls")
def vo_ls(json: Json = None) -> None:
    """List VOs."""

    async def work(client: Client, out: Output) -> None:
        out.table("name", "administrators", "description")
        for v in await client.vos.list():
            out.row(v, v.name, ", ".join(v.admins), v.description)

    run(work, json)


@vo.command("rm")
def vo_rm(name: Name, dry_run: DryRun = False, json: Json = None) -> None:
    """Take a VO out; its directory stays."""

    async def work(client: Client, out: Output) -> None:
        await _do(out, dry_run, f"would remove VO {name}", {"item": name}, lambda: client.vos.remove(name))

    run(work, json)


async def _do(out: Output, dry_run: bool, would: str, item: dict[str, Any], act: Callable[[], Awaitable[Any]]) -> None:
    """Do it and show what came of it; or only tell."""
    if dry_run:
        out.text(item | {"dry_run": True}, would)
        return
    made = await act()
    if made is None:
        out.text(item | {"changed": True}, f"removed: {item['item']}")
    else:
        _tell(out, made)


def _tell(out: Output, value: Any) -> None:
    from .output import facts, full

    facts(out, value, full(value))
