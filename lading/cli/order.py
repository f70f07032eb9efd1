"""`lading replicate`, `move`, `drop`, `remove`, `verify`, `stage`: what the server does in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
    order = {"kind": "replicate", "to": to, "source": source, "copies": copies, "replace": replace}
    order |= {"activity": activity, "group": group, "priority": priority, "note": note}
    _order(order, lfns, from_file, under, query, dataset, key=key, wait=wait, dry_run=dry_run, json=json)


@app.command()
def move(
    to: To,
    lfns: Lfns = None,
    from_file: FromFile = None,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
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
    order = {"kind": "move", "to": to, "source": source, "copies": copies, "replace": replace}
    order |= {"activity": activity, "group": group, "priority": priority, "note": note}
    _order(order, lfns, from_file, under, query, dataset, key=key, wait=wait, dry_run=dry_run, json=json)


@app.command()
def drop(
    source: Annotated[str, typer.Option("--source", metavar="ELEMENTS", help="Where copies are to go.")],
    lfns: Lfns = None,
    from_file: FromFile = None,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
    note: Note = "",
    key: Key = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Drop the copies that files have on some elements; never the last good one."""
    order: dict[str, object] = {"kind": "drop", "source": source, "note": note}
    _order(order, lfns, from_file, under, query, dataset, key=key, wait=wait, dry_run=dry_run, json=json)


@app.command()
def remove(
    lfns: Lfns = None,
    from_file: FromFile = None,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
    note: Note = "",
    key: Key = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Remove many files, into the trash, in the background; `rm` is for a few at once."""
    order: dict[str, object] = {"kind": "remove", "note": note}
    _order(order, lfns, from_file, under, query, dataset, key=key, wait=wait, dry_run=dry_run, json=json)


@app.command()
def verify(
    lfns: Lfns = None,
    from_file: FromFile = None,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
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
    order: dict[str, object] = {"kind": "verify", "source": source, "activity": activity, "priority": priority}
    order["note"] = note
    _order(order, lfns, from_file, under, query, dataset, key=key, wait=wait, dry_run=dry_run, json=json)


@app.command()
def stage(
    lfns: Lfns = None,
    from_file: FromFile = None,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
    source: CopiesFrom = "",
    priority: Priority = 0,
    note: Note = "",
    key: Key = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Bring copies from tape to disk, to be read soon."""
    order: dict[str, object] = {"kind": "stage", "source": source, "priority": priority, "note": note}
    _order(order, lfns, from_file, under, query, dataset, key=key, wait=wait, dry_run=dry_run, json=json)


def _order(
    order: dict[str, object],
    lfns: list[str] | None,
    from_file: str | None,
    under: str | None,
    query: str | None,
    dataset: str | None,
    *,
    key: str | None,
    wait: bool,
    dry_run: bool,
    json: bool | None,
) -> None:
    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from ..model.request import MAX_LFNS, NewRequest
        from .names import one_batch, plain
        from .request import ended, told
        from .values import chosen, struct

        names = await one_batch(client, lfns, from_file) if lfns or from_file else []
        if len(names) > MAX_LFNS:
            raise InvalidRequest(f"{len(names)} files are too many by name: choose them by --under or --dataset")
        selection = chosen(under=under and plain(under), query=query, dataset=dataset and plain_set(dataset))
        new = struct(NewRequest, chosen(**order) | {"selection": selection | {"lfns": names}})
        if dry_run:
            _plan(out, await client.requests.plan(new))
            return
        info = await client.requests.submit(new, key=key)
        if wait:
            await ended(client, out, info.id)
        else:
            out.text(info, f"{told(info)}. Follow it: lading request wait {info.id}")

    run(work, json)


def plain_set(name: str) -> str:
    """A data set's name, or a snapshot's."""
    from .names import plain

    top, at, number = name.partition("@")
    return plain(top) + at + number


def _plan(out: Output, plan: RequestPlan) -> None:
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
