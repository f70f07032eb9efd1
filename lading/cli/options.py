"""Options and arguments that many commands share. Imports nothing heavy: help must come at once."""

from __future__ import annotations

from typing import Annotated

import typer


def complete_lfn(incomplete: str) -> list[str]:
    """LFNs that begin with what was typed; none when the server is unknown, away or slow."""
    import asyncio

    from ..client.client import Client
    from ..model.errors import CatalogError
    from ..model.file import Kind

    async def found() -> list[str]:
        names: list[str] = []
        async with Client(tries=1, timeout=2) as client:
            async for entry in client.list(incomplete.rpartition("/")[0] or "/", page=1000):
                if entry.lfn.startswith(incomplete):
                    names.append(entry.lfn + ("/" if entry.kind is Kind.DIRECTORY else ""))
                if len(names) == 100:
                    break
        return names

    try:
        return asyncio.run(asyncio.wait_for(found(), 3))
    except (CatalogError, OSError, TimeoutError):
        return []


_LFNS = "LFNs; quoted patterns (* ? [..] **) are matched against the catalogue."

Lfns = Annotated[list[str] | None, typer.Argument(help=_LFNS, metavar="LFN", autocompletion=complete_lfn)]
Lfn = Annotated[str, typer.Argument(help="A logical file name: /vo/...", metavar="LFN", autocompletion=complete_lfn)]
Json = Annotated[
    bool | None,
    typer.Option("--json/--no-json", help="JSON lines, or tables.  [default: JSON unless a terminal reads]"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")]
FromFile = Annotated[
    str | None,
    typer.Option("--from-file", help="Read LFNs from FILE, one a line (- for stdin).", metavar="FILE"),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Go down directories.")]
Count = Annotated[bool, typer.Option("--count", help="Print the number of results instead.")]
Parallel = Annotated[int, typer.Option("--parallel", "-j", min=1, max=64, help="Files moved at a time.")]
Site = Annotated[
    str | None, typer.Option("--site", help="Where you read: its elements come first.", envvar="LADING_SITE")
]
Name = Annotated[str, typer.Argument(metavar="NAME")]
