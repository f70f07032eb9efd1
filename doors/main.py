"""`lading-server`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lading.model.errors import CatalogError, InvalidRequest

from . import admin, log, place, supervise
from .config import Config as Settings
from .config import load
from .import_cmd import import_app
from .serve import bind, stop_signal
from .serve import run as run_loop
from .serve import serve as serve_until
from .serve import worker as work_until

_EPILOG = """Settings come from --config FILE (TOML), then the environment (LADING_SERVER_PORT=…), then options.

Exit codes: 0 done · 1 failed · 2 wrong usage or settings · 5 not found · 6 in use or taken · 8 the database is away"""


class _Group(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CatalogError as error:
            typer.echo(f"lading-server: {error.message}", err=True)
            raise typer.Exit(error.exit_code) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=_EPILOG,
    help="The server of lading: a catalogue of files and their replicas. Start with: lading-server run --data DIR",
)
app.add_typer(admin.database, name="db")
app.add_typer(admin.user, name="user")
app.add_typer(admin.token, name="token")
app.add_typer(import_app, name="import")

File = Annotated[
    Path | None, typer.Option("--config", help="A TOML file with settings.", envvar="LADING_SERVER_CONFIG")
]
Data = Annotated[
    str | None, typer.Option("--data", help="Folder of the database, the key and the administrator's token.")
]
Url = Annotated[
    str | None, typer.Option("--database-url", help="PostgreSQL 14 to 18 to use, e.g. postgresql://user@host/lading.")
]
Host = Annotated[
    str | None, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.  [default: 127.0.0.1]")
]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one.  [default: 8321]")]
Level = Annotated[str | None, typer.Option("--log-level", help="debug (every request), info, warning or error.")]


@app.command()
def run(
    data: Data = None,
    port: Port = None,
    host: Host = None,
    database_url: Url = None,
    processes: Annotated[
        int | None, typer.Option("--processes", help="Server processes sharing the port.  [default: 1]")
    ] = None,
    log_level: Level = None,
    config: File = None,
) -> None:
    """Run everything: PostgreSQL (unless --database-url), migrations, server processes and a worker. Ctrl-C stops it
    all.

    Writes DIR/admin.token, readable by its owner alone, and prints the URL when requests are answered.
    """
    given: dict[str, Any] = {"host": host, "port": port, "processes": processes, "log_level": log_level}
    settings = load(config, data=data, database_url=database_url, **given)
    if not settings.data:
        raise InvalidRequest("where to keep the data? Give --data DIR")
    log.configure(settings)
    supervise.run(settings, lambda line: print(line, flush=True))


@app.command()
def serve(
    database_url: Url = None,
    port: Port = None,
    host: Host = None,
    data: Data = None,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="First bring the database to this program's schema.")
    ] = False,
    share_port: Annotated[
        bool, typer.Option("--share-port", help="Let other processes listen on the port too.")
    ] = False,
    log_level: Level = None,
    config: File = None,
) -> None:
    """Run one server process on a PostgreSQL that is there: on one host of several, or under a process manager.

    All servers of one database need the same key for the secrets of storage elements: LADING_SECRET_KEY_FILE.
    """
    settings = _external(load(config, data=data, database_url=database_url, host=host, port=port, log_level=log_level))
    log.configure(settings)
    listener = bind(settings.host, settings.port, share=share_port)[0]
    if migrate:
        asyncio.run(place.migrate(settings.database_url))

    typer.echo(f"lading is running at {supervise.url(settings.host, listener)}")

    async def main() -> None:
        await serve_until(settings, listener, stop_signal())

    run_loop(main())


@app.command()
def worker(
    database_url: Url = None,
    data: Data = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", help="Transfers at once.  [default: 16]")] = None,
    elements: Annotated[
        str | None, typer.Option("--elements", help="Serve only links that begin or end at these, as A,B.")
    ] = None,
    links: Annotated[str | None, typer.Option("--links", help="Serve only these links, as 'A>B,B>C'.")] = None,
    log_level: Level = None,
    config: File = None,
) -> None:
    """Run one worker: what is done in the background. As many as you like may work on one database, on any host.

    SIGTERM lets it end what it has begun, and gives the rest back. All need the key for the secrets of storage
    elements: LADING_SECRET_KEY_FILE.
    """
    given: dict[str, Any] = {
        "worker_concurrency": concurrency,
        "worker_elements": elements and [e.strip() for e in elements.split(",")],
        "worker_links": links and [e.strip() for e in links.split(",")],
    }
    settings = _external(load(config, data=data, database_url=database_url, log_level=log_level, **given))
    log.configure(settings)

    async def main() -> None:
        await work_until(settings, stop_signal())

    run_loop(main())


@app.command()
def dsn(data: Annotated[str, typer.Option("--data", help="The data folder of a running server.")]) -> None:
    """Print the DSN of the database of a running server (psql "$(lading-server dsn --data DIR)"); exit with 1 when none
    runs."""
    found = place.Place(data).dsn()
    if found is None:
        typer.echo(f"lading-server: nothing runs on {data}: start it with 'lading-server run --data {data}'", err=True)
        raise typer.Exit(1)
    typer.echo(found)


def _external(settings: Settings) -> Settings:
    if not settings.database_url:
        raise InvalidRequest("which database? Give --database-url DSN, or use 'lading-server run'")
    return settings


if __name__ == "__main__":
    sys.exit(app())
