"""`lading limit`: transfers at once over each link, and the shares of activities and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import DryRun, Json, Name
from .run import run

if TYPE_CHECKING:
    from ..client.client import Client
    from ..model.limits import Limits, LimitsChange
    from .output import Output

app = typer.Typer(no_args_is_help=True, help="Limits on transfers at once, and whose turn it is; for administrators.")
Most = Annotated[
    int | None,
    typer.Option("--most", min=0, help="Places at once; 0 closes it, and without it as many as move the most."),
]
Weight = Annotated[float, typer.Option("--weight", min=0.001, help="Its share beside others, which have 1.")]


@app.command()
def ls(json: Json = None) -> None:
    """Show limits and shares, and what waits for its turn."""

    async def work(client: Client, out: Output) -> None:
        _show(out, await client.requests.limits())

    run(work, json)


@app.command()
def link(
    source: Annotated[str, typer.Argument(metavar="SOURCE")],
    target: Annotated[str, typer.Argument(metavar="TARGET")],
    most: Most = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Set how many places a link has; without --most the default again. A transfer of 64 MiB takes one, or 16 small
    ones."""
    from ..model.limits import LimitsChange, LinkLimit

    told = f"{source} > {target}: {'the default' if most is None else most}"
    _change(LimitsChange(links=[LinkLimit(source, target, most)]), told, dry_run, json)


@app.command()
def why(
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]")] = None,
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]")] = None,
    json: Json = None,
) -> None:
    """Show how links were tuned that have no limit of their own, and why; the latest first."""

    async def work(client: Client, out: Output) -> None:
        from .output import moment

        out.table("at (UTC)", "from", "to", ">places", ">now", "why")
        for d in await client.requests.decisions(source, target):
            out.row(d, moment(d.at), d.source, d.target, f"{d.before:.2f}", f"{d.after:.2f}", d.why)

    run(work, json)


@app.command()
def activity(name: Name, weight: Weight = 1.0, most: Most = None, dry_run: DryRun = False, json: Json = None) -> None:
    """Set the share of an activity (`--activity` of an order)."""
    _share("activity", name, weight, most, dry_run, json)


@app.command()
def group(name: Name, weight: Weight = 1.0, most: Most = None, dry_run: DryRun = False, json: Json = None) -> None:
    """Set the share of a group, within each activity."""
    _share("group", name, weight, most, dry_run, json)


def _share(of: str, name: str, weight: float, most: int | None, dry_run: bool, json: bool | None) -> None:
    from ..model.limits import LimitsChange, ShareOf, ShareSpec

    told = f"{of} {name}: weight {weight:g}, {'no limit of its own' if most is None else f'{most} at most'}"
    _change(LimitsChange(shares=[ShareSpec(ShareOf(of), name, weight, most)]), told, dry_run, json)


def _change(change: LimitsChange, told: str, dry_run: bool, json: bool | None) -> None:
    async def work(client: Client, out: Output) -> None:
        if dry_run:
            out.text({"dry_run": True, "change": told}, f"would be set: {told}")
            return
        _show(out, await client.requests.set_limits(change))

    run(work, json)


def _show(out: Output, limits: Limits) -> None:
    if out.json:
        out.row(limits)
        return
    out.table("from", "to", ">places", ">taken", ">waiting")
    for x in limits.links:
        how = "" if x.set else " (tuned)" if x.tuned else " (default)"
        out.row(x, x.source, x.target, f"{x.most}{how}", x.taken, x.waiting)
    out.flush()
    if limits.shares:
        out.table("share of", "name", ">weight", ">places")
        for s in limits.shares:
            out.row(s, s.of.value, s.name, f"{s.weight:g}", "any" if s.most is None else s.most)
