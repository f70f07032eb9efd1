"""`lading`: the commands put together."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from . import (
    account,
    accounting,
    adopt,
    bytes,
    elements,
    event,
    field,
    find,
    limit,
    meta,
    namespace,
    order,
    people,
    register,
    replicas,
    request,
    rights,
    rule,
    scan,
    snapshot,
    trash,
    wrappers,
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they would show local variables, a token among them
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 some items failed, 2 wrong use, 3 not logged in, 4 forbidden, 5 not found, "
    "6 exists and differs, 7 no room, 8 try again later. LADING_URL and LADING_TOKEN override `lading login`.",
)
for part in (
    namespace.app,
    bytes.app,
    wrappers.app,
    replicas.app,
    register.app,
    scan.app,
    order.app,
    rule.why,
    accounting.app,
    event.app,
    rights.app,
    find.app,
    account.app,
):
    app.registered_commands += part.registered_commands
elements.app.registered_commands += adopt.app.registered_commands
for name, group in (
    ("trash", trash.app),
    ("acl", rights.acl),
    ("replica", replicas.replica),
    ("se", elements.app),
    ("field", field.app),
    ("meta", meta.app),
    ("dataset", snapshot.app),
    ("request", request.app),
    ("rule", rule.app),
    ("limit", limit.app),
    ("hook", event.hook),
    ("user", people.user),
    ("group", people.group),
    ("vo", people.vo),
    ("token", account.token),
    ("alias", account.alias),
):
    app.add_typer(group, name=name)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lading {version('lading')}")
        raise typer.Exit


@app.callback()
def main(
    server: Annotated[
        str | None, typer.Option("--server", metavar="NAME", help="One of the servers you logged in to.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find, move and look after scientific files by their logical names (LFNs)."""
    if server:
        os.environ["LADING_SERVER"] = server


if __name__ == "__main__":
    app()
