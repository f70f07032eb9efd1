"""Commands on copies: replicas, replica add|state|drop, copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import Count, DryRun, FromFile, Json, Lfns, Site
from .run import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..client.client import Client
    from ..model.outcome import Outcome
    from ..model.replica import ReplicaRef, Resolved
    from .output import Output

app = typer.Typer()
replica = typer.Typer(no_args_is_help=True, help="Single replicas: add, state, drop.")

Element = Annotated[str, typer.Option("--se", metavar="NAME", help="The storage element.")]
Pfn = Annotated[
    str | None,
    typer.Option("--pfn", help="Where it is there.  [default: where the element's layout puts it]"),
]


@app.command()
def replicas(
    lfns: Lfns = None,
    site: Site = None,
    se: Annotated[list[str] | None, typer.Option("--se", help="Only these elements.")] = None,
    count: Count = False,
    from_file: FromFile = None,
    json: Json = None,
) -> None:
    """Show where files can be read, best first, or why not."""

    async def work(client: Client, out: Output) -> None:
        from .names import batches
        from .output import full

        out.table("LFN", "element", "state", "site", "URL or PFN")
        number = 0

        def show(outcome: Outcome[Resolved]) -> None:
            nonlocal number
            file = outcome.value
            if file is None:
                return
            number += len(file.sources)
            if count:
                out.done += 1
            elif out.json:
                out.row({"lfn": outcome.item, **full(file)})
            elif not file.sources:
                out.row(None, outcome.item, "", "unreadable", "", file.why or "no replica")
            for source in file.sources if not count and not out.json else ():
                where = source.url or source.pfn
                out.row(None, outcome.item, source.se, source.state.value, source.site, where)

        async for names in batches(client, lfns, from_file):
            out.outcomes(await client.resolve(names, site=site, ses=se or []), show)
        if count:
            out.text(number, str(number))

    run(work, json)


@app.command("copy")
def copy(
    lfns: Lfns = None,
    to: Annotated[str, typer.Option("--to", metavar="SE", help="The element that gets one.")] = "",
    source: Annotated[
        str | None, typer.Option("--from", metavar="SE", help="The element to read.  [default: the best one]")
    ] = None,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Make one more copy of files, verified before this ends."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from ..model.replica import Copy
        from .names import batches
        from .progress import counting

        if not to:
            raise InvalidRequest("say where to: --to SE")
        with counting("copied") as tick:
            async for names in batches(client, lfns, from_file):
                if dry_run:
                    await _would_copy(client, out, names, to)
                    continue
                for start in range(0, len(names), 16):
                    done = await client.copy([Copy(lfn, to, source) for lfn in names[start : start + 16]])
                    out.changes(done, f"copied to {to}")
                    tick(len(done))

    run(work, json)


async def _would_copy(client: Client, out: Output, names: Sequence[str], to: str) -> None:
    from ..model.outcome import Outcome

    for outcome in await client.resolve(names):
        sources = outcome.value.sources if outcome.value else []
        there = any(s.se == to for s in sources)
        out.changes([Outcome(outcome.item, None, outcome.error, not there)], f"copied to {to}", dry_run=True)


@replica.command()
def add(
    lfns: Lfns = None,
    se: Element = "",
    pfn: Pfn = None,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Register copies that exist; no byte is looked at."""
    _change("register_replicas", "registered", lfns, from_file, dry_run, json, se=se, pfn=pfn)


@replica.command()
def state(
    lfns: Lfns = None,
    se: Element = "",
    to: Annotated[
        str, typer.Option("--state", help="available, suspect, lost, copying or deleting.", metavar="STATE")
    ] = "",
    note: Annotated[str | None, typer.Option("--note", help="Why.")] = None,
    pfn: Pfn = None,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Set the state of copies."""
    if not to:
        raise typer.BadParameter(
            "say which: --state available, suspect, lost, copying or deleting", param_hint="--state"
        )
    _change("set_replica_state", f"now {to}", lfns, from_file, dry_run, json, se=se, pfn=pfn, state=to, note=note)


@replica.command()
def drop(
    lfns: Lfns = None,
    se: Element = "",
    keep_bytes: Annotated[
        bool, typer.Option("--keep-bytes", help="Forget it; leave the bytes on the element.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Even the last good copy.")] = False,
    pfn: Pfn = None,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Drop copies and their bytes."""
    options = {"keep_bytes": keep_bytes, "force": force}
    _change("drop_replicas", "dropped", lfns, from_file, dry_run, json, se=se, pfn=pfn, options=options)


def _change(
    method: str,
    verb: str,
    lfns: Sequence[str] | None,
    from_file: str | None,
    dry_run: bool,
    json: bool | None,
    *,
    se: str,
    pfn: str | None = None,
    state: str | None = None,
    note: str | None = None,
    options: dict[str, bool] | None = None,
) -> None:
    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from ..model.replica import ReplicaRef, ReplicaState
        from .names import batches

        if not se:
            raise InvalidRequest("say which element: --se NAME")
        if state and state not in set(ReplicaState):
            raise InvalidRequest(f"'{state}' is no state: there are {', '.join(s.value for s in ReplicaState)}")
        into = ReplicaState(state) if state else ReplicaState.AVAILABLE
        async for names in batches(client, lfns, from_file):
            refs: list[ReplicaRef] = [ReplicaRef(lfn, se, pfn, into, note) for lfn in names]
            done = await getattr(client, method)(refs, dry_run=dry_run, **(options or {}))
            out.changes(done, f"{verb} on {se}", dry_run=dry_run)

    run(work, json)
