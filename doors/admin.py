"""`lading-server user|token|db`: for an administrator at the machine itself, whom no token lets in any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from catalog.access.people import PeopleService
from lading.model.errors import Unauthenticated
from lading.model.people import UserChange, UserSpec
from lading.model.principal import SYSTEM

from . import app, place
from .config import load, make_private

if TYPE_CHECKING:
    from .config import Config

T = TypeVar("T")
YEAR = 365 * 86400
SCOPES = ("read", "write", "admin")

Data = Annotated[
    str | None, typer.Option("--data", help="The server's data folder, running or not.", envvar="LADING_SERVER_DATA")
]
Url = Annotated[
    str | None,
    typer.Option(
        "--database-url", help="Its PostgreSQL, when not the embedded one.", envvar="LADING_SERVER_DATABASE_URL"
    ),
]


async def ensure_admin_token(config: Config, path: Path) -> None:
    """See to it that the file holds a token of 'admin' that is good, for its owner alone to read. Safe to repeat."""
    services = app.wire(config)
    try:
        if path.exists():
            try:
                await services.access.authenticate(path.read_text().strip())
                return
            except Unauthenticated:
                pass  # withdrawn or expired, or of another database
        token = await services.access.system_token("admin", SCOPES, YEAR, f"{path}")
        make_private(path, token + "\n", replace=True)
    finally:
        await services.close()


def on_database(data: str | None, url: str | None, work: Callable[[app.Services], Awaitable[T]]) -> T:
    """Run `work` on the services of a migrated database. Raises what `work` raises, and what `place.database` does."""
    with place.database(data, url) as dsn:
        config = load(data=data, database_url=dsn)

        async def main() -> T:
            await place.migrate(dsn)
            services = app.wire(config)
            try:
                return await work(services)
            finally:
                await services.close()

        return asyncio.run(main())


token = typer.Typer(no_args_is_help=True, help="Make tokens when no token lets you in.")
user = typer.Typer(no_args_is_help=True, help="Make users administrators when no administrator is left.")
database = typer.Typer(no_args_is_help=True, help="The database's schema.")


@token.command("admin")
def token_admin(
    data: Data = None, database_url: Url = None, days: Annotated[int, typer.Option(min=1, max=3650)] = 365
) -> None:
    """Print a new administrator's token. With --data it is written to DIR/admin.token too."""
    made = on_database(
        data, database_url, lambda s: s.access.system_token("admin", SCOPES, days * 86400, "lading-server token admin")
    )
    if data:
        make_private(place.Place(data).admin_token, made + "\n", replace=True)
    typer.echo(made)


@token.command("add")
def token_add(
    name: Annotated[str, typer.Argument(help="The user.")],
    data: Data = None,
    database_url: Url = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="read, write, admin, or narrowed: read:/biomed. Repeat it.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650)] = 30,
) -> None:
    """Print a new token of a user."""
    scopes = scope or ["read", "write"]
    typer.echo(
        on_database(
            data, database_url, lambda s: s.access.system_token(name, scopes, days * 86400, "lading-server token add")
        )
    )


@user.command("add")
def user_add(
    name: str,
    data: Data = None,
    database_url: Url = None,
    admin: Annotated[bool, typer.Option("--admin", help="Administers the whole server.")] = False,
    group: Annotated[
        list[str] | None, typer.Option(help="A group it belongs to. Repeat it; the first is the primary one.")
    ] = None,
) -> None:
    """Add a user."""

    async def work(services: app.Services) -> None:
        await PeopleService(services.database, services.access).add_user(
            SYSTEM, UserSpec(name, groups=group or [], admin=admin)
        )

    on_database(data, database_url, work)
    typer.echo(f"added {name}")


@user.command("set")
def user_set(
    name: str,
    data: Data = None,
    database_url: Url = None,
    admin: Annotated[bool | None, typer.Option("--admin/--no-admin")] = None,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable")] = None,
) -> None:
    """Make a user an administrator, or let a user in again."""

    async def work(services: app.Services) -> None:
        change = UserChange(admin=admin, disabled=disabled)
        await PeopleService(services.database, services.access).change_user(SYSTEM, name, change)

    on_database(data, database_url, work)
    typer.echo(f"changed {name}")


@user.command("ls")
def user_ls(data: Data = None, database_url: Url = None) -> None:
    """List the users: name, what is special about them, groups."""

    async def work(services: app.Services) -> None:
        people, cursor = PeopleService(services.database, services.access), None
        while True:
            page = await people.users(SYSTEM, cursor=cursor)
            for u in page.items:
                marks = [
                    m for m, on in (("admin", u.admin), ("disabled", u.disabled), ("placeholder", u.placeholder)) if on
                ]
                typer.echo("\t".join([u.name, ",".join(marks), ",".join(u.groups)]))
            cursor = page.next
            if cursor is None:
                return

    on_database(data, database_url, work)


@database.command("migrate")
def db_migrate(data: Data = None, database_url: Url = None) -> None:
    """Bring the database to this program's schema. Safe to repeat, and while servers run."""
    with place.database(data, database_url) as dsn:
        applied = asyncio.run(place.migrate(dsn))
    typer.echo(f"applied {', '.join(applied)}" if applied else "nothing to do: the schema is current")


@database.command("status")
def db_status(data: Data = None, database_url: Url = None) -> None:
    """Print which schema the database has and which one this program needs."""
    with place.database(data, database_url) as dsn:
        found = asyncio.run(place.inspect(dsn))
    typer.echo(f"PostgreSQL {found.server}, encoding {found.encoding}, schema {found.schema} of {found.wanted}")


@database.command("check")
def db_check(data: Data = None, database_url: Url = None) -> None:
    """Exit with 0 when servers can run on this database; else say why not."""
    with place.database(data, database_url) as dsn:
        found = asyncio.run(place.inspect(dsn))
    faults = found.faults()
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(1)
    typer.echo("good")
