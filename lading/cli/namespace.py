"""Commands on names: ls, stat, mkdir, mv, rm, ln, du."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import Count, DryRun, FromFile, Json, Lfn, Lfns, Recursive, complete_lfn
from .run import run

if TYPE_CHECKING:
    from ..client.client import Client
    from ..model.file import Entry, Usage
    from ..model.outcome import Outcome
    from .output import Output

app = typer.Typer()


@app.command()
def ls(
    lfns: Lfns = None,
    long: Annotated[bool, typer.Option("-l", "--long", help="Mode, owner, size, time, replicas.")] = False,
    recursive: Annotated[bool, typer.Option("-R", "-r", "--recursive", help="Go down directories.")] = False,
    itself: Annotated[bool, typer.Option("-d", "--directory", help="The directory itself, not what it holds.")] = False,
    count: Count = False,
    from_file: FromFile = None,
    json: Json = None,
) -> None:
    """List directories (the root without an argument) and files."""

    async def work(client: Client, out: Output) -> None:
        from ..model.file import Kind
        from .names import batches
        from .show import listed, listing

        listing(out, long)
        number = 0

        def one(entry: Entry, heading: str) -> None:
            nonlocal number
            number += 1
            if not count:
                listed(out, entry, long, heading)

        verbose = long or out.json
        async for names in batches(client, lfns, from_file, default="/"):
            several = recursive or len(names) > 1
            for outcome in await _looked_up(client, names):
                if outcome.value is None:
                    out.outcomes([outcome], lambda _: None)
                elif outcome.value.kind is not Kind.DIRECTORY or itself:
                    one(outcome.value, "")
                elif recursive:
                    async for directory, entries in client.walk(outcome.value.lfn, verbose=verbose):
                        for entry in entries:
                            one(entry, directory)
                else:
                    async for entry in client.list(outcome.value.lfn, verbose=verbose):
                        one(entry, outcome.value.lfn if several else "")
        if count:
            out.text(number, str(number))

    run(work, json)


async def _looked_up(client: Client, names: list[str]) -> list[Outcome[Entry]]:
    """What the names lead to; a link that leads nowhere stands for itself, as in a shell."""
    found = await client.stat(names)
    lost = [i for i, outcome in enumerate(found) if outcome.error and outcome.error.code == "not_found"]
    for i, itself in zip(lost, await client.stat([names[i] for i in lost], follow=False), strict=True):
        if itself.value:
            found[i] = itself
    return found


@app.command()
def stat(
    lfns: Lfns = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Look through links.")] = True,
    from_file: FromFile = None,
    json: Json = None,
) -> None:
    """Show everything the catalogue knows of files, directories and links."""

    async def work(client: Client, out: Output) -> None:
        from .names import batches
        from .show import facts

        async for names in batches(client, lfns, from_file):
            out.outcomes(await client.stat(names, follow=follow), lambda o: facts(out, o.value))

    run(work, json)


@app.command()
def mkdir(
    lfns: Lfns = None,
    parents: Annotated[
        bool, typer.Option("-p", "--parents", help="Make what is missing above; no error if it is there.")
    ] = False,
    mode: Annotated[str | None, typer.Option("-m", "--mode", help="Octal permissions, as in 755.")] = None,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Make directories."""

    async def work(client: Client, out: Output) -> None:
        from .names import batches
        from .symbolic import octal

        bits = octal(mode) if mode else None
        async for names in batches(client, lfns, from_file):
            done = await client.make_directories(names, parents=parents, mode=bits, dry_run=dry_run)
            out.changes(done, "made", dry_run=dry_run)

    run(work, json)


@app.command()
def mv(
    names: Annotated[
        list[str],
        typer.Argument(metavar="LFN", help="Sources, and the target last.", autocompletion=complete_lfn),
    ],
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Move or rename files and whole directories; a TARGET that is a directory takes them in."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from ..model.file import Kind
        from .names import one_batch, plain

        if len(names) < 2:
            raise InvalidRequest("mv needs a source and a target")
        sources, target = await one_batch(client, names[:-1]), plain(names[-1])
        if len(sources) > 1 and (await client.entry(target)).kind is not Kind.DIRECTORY:
            raise InvalidRequest(f"'{target}' is no directory: it can't take in {len(sources)} sources")
        out.changes(await client.move([(s, target) for s in sources], dry_run=dry_run), "moved", dry_run=dry_run)

    run(work, json)


@app.command()
def rm(
    lfns: Lfns = None,
    recursive: Recursive = False,
    purge: Annotated[bool, typer.Option("--purge", help="For good, not into the trash.")] = False,
    keep: Annotated[
        float | None, typer.Option("--keep", min=0, help="Days in the trash.  [default: the server's, 7]")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force-snapshots", help="Even what belongs to a snapshot, which is broken then.")
    ] = False,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Remove files, and directories with -r: into the trash, from which `lading trash restore` brings them back."""

    async def work(client: Client, out: Output) -> None:
        from .names import batches

        seconds = None if keep is None else round(keep * 86400)
        async for names in batches(client, lfns, from_file):
            removed = await client.remove(
                names, recursive=recursive, keep=seconds, force_snapshots=force, dry_run=dry_run
            )
            out.changes(removed, "purged" if purge else "removed", dry_run=dry_run)
            if purge and not dry_run:
                items = [o.value for o in removed if o.value is not None]
                gone = await client.trash.purge([item.id for item in items])
                for item, outcome in zip(items, gone, strict=True):
                    if outcome.error:
                        out.failed(item.lfn, outcome.error)

    run(work, json)


@app.command()
def ln(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="An LFN, or a path counted from the link's directory.")
    ],
    lfn: Lfn,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Make the symbolic link LFN to TARGET (which need not exist)."""

    async def work(client: Client, out: Output) -> None:
        from .names import plain

        to = plain(target) if target.lower().startswith("lfn:") else target
        out.changes(await client.link([(plain(lfn), to)], dry_run=dry_run), "linked", dry_run=dry_run)

    run(work, json)


@app.command()
def du(
    lfns: Lfns = None,
    elements: Annotated[bool, typer.Option("-e", "--elements", help="A row for each storage element.")] = False,
    from_file: FromFile = None,
    json: Json = None,
) -> None:
    """Show how many files and bytes lie below directories, now and exactly."""

    async def work(client: Client, out: Output) -> None:
        from .names import batches
        from .output import size

        if elements:
            out.table("LFN", "element", ">replicas", ">size")
        else:
            out.table(">size", ">files", ">directories", "LFN")

        def show(outcome: Outcome[Usage]) -> None:
            usage = outcome.value
            if usage is None:
                return
            if not elements or out.json:
                out.row(usage, size(usage.bytes), usage.files, usage.directories, usage.lfn)
                return
            for name, part in sorted(usage.elements.items()):
                out.row(usage, usage.lfn, name, part.replicas, size(part.bytes))

        async for names in batches(client, lfns, from_file, default="/"):
            out.outcomes(await client.usage(names), show)

    run(work, json)
