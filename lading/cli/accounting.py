"""`lading accounting`: what was moved, for whom, over which links, and how much of it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json
from .run import run

if TYPE_CHECKING:
    from ..client.client import Client
    from ..model.accounting import Account
    from .output import Output

app = typer.Typer()
_WIDTH = 12  # of the bars, in characters
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@app.command()
def accounting(
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="hour, day, user, group, activity, kind, source, target, way, result; several."),
    ] = None,
    since: Annotated[str, typer.Option("--since", help="A date and time (UTC), or as in 2d, 6h, 30m.")] = "7d",
    until: Annotated[str | None, typer.Option("--until", help="As --since.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's, for administrators.")] = False,
    user: Annotated[str | None, typer.Option("--user", help="This user's, for administrators.")] = None,
    activity: Annotated[str | None, typer.Option("--activity", help="Only this one.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only replicate, move, verify or stage.")] = None,
    element: Annotated[str | None, typer.Option("--se", metavar="NAME", help="Only from or to this element.")] = None,
    json: Json = None,
) -> None:
    """Sum up what transfers moved, and what failed, by day or what you name; of the last thirty days at most.
    `lading accounting --by day --by target --since 30d --all`"""

    async def work(client: Client, out: Output) -> None:
        from ..model.accounting import By
        from ..model.errors import InvalidRequest
        from .values import instant

        try:
            named = [By(text) for text in by or ["day"]]
        except ValueError as error:
            raise InvalidRequest(f"{error}: there are {', '.join(By)}") from None
        rows = await client.requests.accounting(
            named,
            since=instant(since),
            until=instant(until) if until else None,
            everybody=everybody,
            user=user,
            activity=activity,
            kind=kind,
            element=element,
        )
        _show(out, [one.value for one in named], rows)

    run(work, json)


def _show(out: Output, by: list[str], rows: list[Account]) -> None:
    from .output import size

    most = max((row.bytes for row in rows), default=0)
    out.table(*by, ">size", "of the most", ">done", ">failed", ">again", ">rate", "failed")
    for row in rows:
        keys = [row.keys[one] for one in by]
        rate = f"{size(int(row.bytes / row.seconds))}/s" if row.seconds and row.bytes else ""
        ended = row.done + row.failed
        failed = bar(row.failed / ended, 6) if ended else ""
        volume = bar(row.bytes / most, _WIDTH) if most else ""
        out.row(row, *keys, size(row.bytes), volume, row.done, row.failed, row.retried, rate, failed)


def bar(share: float, width: int) -> str:
    """A bar of up to `width` characters for a share of 1: nothing at all for nothing, else something to be seen."""
    eighths = round(share * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
