"""`lading replicate`, `move`, `drop`, `remove`, `verify`, `stage`: what the server does in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DryRun, Json
from .run import run

if TYPE_CHECKING:
    from ..client.client import Client
    from ..model.request import RequestPlan
    from .output import Output

app = typer.Typer()

Lfns = Annotated[list[str] | None, typer.Argument(metavar="[LFN...]", help="Files; patterns as in a shell.")]
FromFile = Annotated[str | None, typer.Option("--from-file", metavar="FILE", help="LFNs, one a line; - for stdin.")]
Under = Annotated[str | None, typer.Option("--under", metavar="DIR", help="All files below a directory.")]
Query = Annotated[
    str | None, typer.Option("--query", metavar="QUERY", help="Of those below --under, the ones that fit.")
]
Dataset = Annotated[str | None, typer.Option("--dataset", metavar="NAME[@N]", help="A data set, or a snapshot of it.")]
On = Annotated[
    str | None, typer.Option("--on", metavar="ELEMENT", help="All files with a copy there, for administrators.")
]
To = Annotated[
    str, typer.Option("--to", metavar="ELEMENTS", help="Where to: a name or an expression, 'country=FR & type=disk'.")
]
CopiesFrom = Annotated[
    str, typer.Option("--source", metavar="ELEMENTS", help="The copies that are meant; all without it.")
]
Copies = Annotated[int, typer.Option("--copies", min=1, max=100, help="How many of --to shall have one.")]
Activity = Annotated[str, typer.Option("--activity", help="Whose share of the links it takes.")]
Group = Annotated[str | None, typer.Option("--group", help="One of yours, that it counts for.")]
Priority = Annotated[int, typer.Option("--priority", min=-100, max=100, help="The higher, the sooner.")]
Note = Annotated[str, typer.Option("--note", help="A few words about it.")]
Key = Annotated[str | None, typer.Option("--key", help="A name for the order: given again, it is not made twice.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until it has ended; exit code 1 when something failed.")]
Replace = Annotated[bool, typer.Option("--replace", help="Write over objects that are nobody's.")]


@app.command()
def replicate(
    to: To,
    lfns: Lfns = None,
    from_file: FromFile = None,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
    on: On = None,
    source: CopiesFrom = "",
    copies: Copies = 1,
    replace: Replace = False,
    activity: Activity = "user",
    group: Group = None,
    priority: Priority = 0,
    note: Note = "",
    key: Key = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Have copies of files on other elements, verified. Those that are there count."""
    _order("replicate", locals())


@app.command()
def move(
    to: To,
    lfns: Lfns = None,
    from_file: FromFile = None,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
    on: On = None,
    source: CopiesFrom = "",
    copies: Copies = 1,
    replace: Replace = False,
    activity: Activity = "user",
    group: Group = None,
    priority: Priority = 0,
    note: Note = "",
    key: Key = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Move bytes to other elements: copy, verify, then drop the copies of --source (all others without). Names stay:
    `mv` changes those."""
    _order("move", locals())


@app.command()
def drop(
    source: Annotated[str, typer.Option("--source", metavar="ELEMENTS", help="Where copies are to go.")],
    lfns: Lfns = None,
    from_file: FromFile = None,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
    on: On = None,
    note: Note = "",
    key: Key = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Drop the copies that files have on some elements; never the last good one."""
    _order("drop", locals())


@app.command()
def remove(
    lfns: Lfns = None,
    from_file: FromFile = None,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
    on: On = None,
    note: Note = "",
    key: Key = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Remove many files, into the trash, in the background; `rm` is for a few at once."""
    _order("remove", locals())


@app.command()
def verify(
    lfns: Lfns = None,
    from_file: FromFile = None,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
    on: On = None,
    source: CopiesFrom = "",
    activity: Activity = "verify",
    priority: Priority = 0,
    note: Note = "",
    key: Key = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Read copies back and compare; what is wrong becomes suspect, what is missing lost."""
    _order("verify", locals())


@app.command()
def stage(
    lfns: Lfns = None,
    from_file: FromFile = None,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
    on: On = None,
    source: CopiesFrom = "",
    priority: Priority = 0,
    note: Note = "",
    key: Key = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Bring copies from tape to disk, to be read soon."""
    _order("stage", locals())


def _order(kind: str, given: dict[str, Any]) -> None:
    """`given`: the command's parameters by their names, which are those of NewRequest and Selection but for a few."""
    lfns, from_file = given.pop("lfns"), given.pop("from_file")
    key, wait, dry_run, json = (given.pop(name) for name in ("key", "wait", "dry_run", "json"))
    selection = {name: given.pop(name) for name in ("under", "query", "dataset", "on")}

    async def work(client: Client, out: Output) -> None:
        from ..model.request import NewRequest
        from .names import one_batch, plain
        from .request import ended, told
        from .values import chosen, struct

        for name in ("under", "dataset"):
            selection[name] = selection[name] and plain(selection[name])
        names = await one_batch(client, lfns, from_file) if lfns or from_file else []
        new = struct(NewRequest, chosen(**given) | {"kind": kind, "selection": chosen(**selection) | {"lfns": names}})
        if dry_run:
            show_plan(out, await client.requests.plan(new))
            return
        info = await client.requests.submit(new, key=key)
        if wait:
            await ended(client, out, info.id)
        else:
            out.text(info, f"{told(info)}. Follow it: lading request wait {info.id}")

    run(work, json)


def show_plan(out: Output, plan: RequestPlan) -> None:
    from .output import size

    if out.json:
        out.row(plan)
        return
    out.table("from", "to", ">files", ">size", "ways, best first")
    for link in plan.links:
        out.row(link, link.source, link.target, link.files, size(link.bytes), ", ".join(link.ways))
    whole = "" if plan.whole else "; there are more: these were looked at"
    there = f", {plan.skipped} need nothing" if plan.skipped else ""
    out.text(plan, f"would do: {plan.files} files, {size(plan.bytes)}{there}{whole}")
    for why, count in plan.refused.items():
        out.text(plan, f"refused, {count} files: {why}")
