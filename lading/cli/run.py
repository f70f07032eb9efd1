"""From a command to the client and back: connection, errors, exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..client.client import Client
    from .output import Output


def run(
    work: Callable[[Client, Output], Awaitable[None]], json: bool | None = None, *, connect: bool = True, tries: int = 6
) -> None:
    """Do `work` with an open client, then exit with the code of what came of it (docs/reference/exit-codes.md).

    Without `connect` it gets no client. `tries` is the client's.
    """
    import asyncio

    from ..model.errors import CatalogError
    from .output import Output, complain, silence

    out = Output(json)

    async def main() -> None:
        from ..client.client import Client

        if not connect:
            return await work(cast("Client", None), out)
        async with Client(tries=tries) as client:
            return await work(client, out)

    try:
        try:
            asyncio.run(main())
        except CatalogError as error:
            out.flush()
            complain(error.message, error.fault())
            raise typer.Exit(error.exit_code) from None
        code = out.finish()
    except BrokenPipeError:  # `lading ls | head`
        silence()
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        complain("interrupted")
        raise typer.Exit(130) from None
    if code:
        raise typer.Exit(code)
