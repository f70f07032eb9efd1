"""`lading dataset`: named queries and lists of files."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DryRun, FromFile, Json, Name
from .run import run

if TYPE_CHECKING:
    from ..client.client import Client
    from ..model.dataset import Dataset
    from .output import Output

app = typer.Typer(no_args_is_help=True, help="Data sets: queries and lists with a name, and snapshots of them.")

Files = Annotated[list[str] | None, typer.Argument(metavar="LFN", help="Files.")]
Description = Annotated[str | None, typer.Option("--description", help="What it is, in words.")]
Values = Annotated[
    list[str] | None, typer.Option("--meta", "-m", metavar="KEY=VALUE", help="Of the data set itself; may be repeated.")
]
Mode = Annotated[str | None, typer.Option("--mode", help="Octal permissions, as in 640.")]
Group = Annotated[str | None, typer.Option("--group", help="Whose group bits they are.")]
Under = Annotated[str | None, typer.Option("--under", metavar="LFN", help="Only what is in this directory or below.")]
Union = Annotated[bool, typer.Option("--union", help="Combine data sets: files of any.")]
Intersection = Annotated[bool, typer.Option("--intersection", help="Files of all.")]
Difference = Annotated[bool, typer.Option("--difference", help="Files of the first and of none of the others.")]


class Format(StrEnum):
    LFN = "lfn"
    TSV = "tsv"
    JSON = "json"


@app.command()
def create(
    name: Name,
    what: Annotated[
        list[str] | None, typer.Argument(metavar="[QUERY|NAME...]", help="A query; with --union etc. data sets.")
    ] = None,
    under: Under = None,
    list_: Annotated[bool, typer.Option("--list", help="A list of files, empty or --from-file.")] = False,
    from_file: FromFile = None,
    union: Union = False,
    intersection: Intersection = False,
    difference: Difference = False,
    description: Description = None,
    meta: Values = None,
    mode: Mode = None,
    group: Group = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Give a name to a query, to a list of files (--list), or to a combination of data sets and snapshots."""

    async def work(client: Client, out: Output) -> None:
        from ..model.dataset import NewDataset
        from ..model.errors import InvalidRequest
        from .names import lines, plain
        from .symbolic import octal

        new = NewDataset(plain(name), description=description or "", metadata=pairs(meta), group=group, dry_run=dry_run)
        new.under = plain(under) if under else "/"
        if mode:
            new.mode = octal(mode)
        new.combine = combination(what or [], union, intersection, difference)
        given = [plain(line) for line in lines(from_file)] if from_file else []
        if list_ or from_file:
            new.lfns = given[:10_000]
        if new.combine is None and what:
            if len(what) > 1:
                raise InvalidRequest("a query is one argument: put it in quotes")
            new.query = what[0]
        made = await client.datasets.create(new)
        if given[10_000:] and not dry_run:
            out.outcomes(await client.datasets.add(made.name, given[10_000:]), lambda _: None)
        changed(out, made, "created", dry_run)

    run(work, json)


@app.command()
def ls(
    under: Annotated[str, typer.Argument(metavar="[NAME]", help="Only what is called this, or something below.")] = "/",
    json: Json = None,
) -> None:
    """List the data sets that you may read."""

    async def work(client: Client, out: Output) -> None:
        from . import dataset_show
        from .names import plain
        from .output import moment

        out.table("mode", "owner", "group", "changed (UTC)", ">snapshots", "name", "description")
        async for one in client.datasets.list(plain(under)):
            row = (
                dataset_show.mode(one.mode),
                one.owner,
                one.group,
                moment(one.mtime),
                one.snapshots,
                one.name,
                one.description,
            )
            out.row(one, *row)

    run(work, json)


@app.command()
def show(name: Name, json: Json = None) -> None:
    """Show what is in a data set now, where it can be read, and what changed since its latest snapshot; or a
    snapshot."""

    async def work(client: Client, out: Output) -> None:
        from ..model.dataset import split_name
        from . import dataset_show
        from .names import plain

        if split_name(name)[1] is None:
            dataset_show.dataset(out, await client.datasets.show(plain(name)))
        else:
            dataset_show.snapshot(out, await client.datasets.snapshot(plain(name)))

    run(work, json)


@app.command()
def files(
    name: Name,
    format: Annotated[
        Format | None, typer.Option("--format", help="How to print.  [default: lfn on a terminal, else json]")
    ] = None,
    json: Json = None,
) -> None:
    """List the files of a data set or of a snapshot (NAME@3). Of a snapshot, `--format tsv | sha256sum` is its hash."""

    async def work(client: Client, out: Output) -> None:
        from ..model.dataset import line
        from ..model.lfn import shown
        from .names import plain
        from .output import encoded

        chosen = format or (Format.JSON if out.json else Format.LFN)
        async for member in client.datasets.files(plain(name)):
            out.done += 1
            if chosen is Format.JSON:
                out.raw(encoded(member))
            else:
                out.raw(shown(member.lfn, 5000) if chosen is Format.LFN else line(member)[:-1])
        hidden(client)

    run(work, json)


@app.command("set")
def set_(
    name: Name,
    query: Annotated[str | None, typer.Option("--query", help="Another query.")] = None,
    under: Under = None,
    description: Description = None,
    meta: Values = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", metavar="KEY", help="Take a value away.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Give it away (administrators of the VO).")] = None,
    group: Group = None,
    mode: Mode = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Change a data set. What was frozen stays as it is."""

    async def work(client: Client, out: Output) -> None:
        from ..model.dataset import DatasetChange
        from ..model.errors import InvalidRequest
        from .names import plain
        from .symbolic import octal

        change = DatasetChange(plain(name), dry_run=dry_run)
        given: dict[str, Any] = {
            "query": query, "under": plain(under) if under else None, "description": description, "owner": owner,
            "group": group, "mode": octal(mode) if mode else None,
            "metadata": (pairs(meta) | dict.fromkeys(unset or ())) or None,
        }  # fmt: skip
        given = {k: v for k, v in given.items() if v is not None}
        if not given:
            raise InvalidRequest("say what to change: see 'lading dataset set --help'")
        for key, value in given.items():
            setattr(change, key, value)
        changed(out, await client.datasets.set(change), "changed", dry_run)

    run(work, json)


@app.command()
def add(name: Name, lfns: Files = None, from_file: FromFile = None, dry_run: DryRun = False, json: Json = None) -> None:
    """Put files into a list."""

    async def work(client: Client, out: Output) -> None:
        from .names import batches, plain

        async for some in batches(client, lfns, from_file):
            out.changes(await client.datasets.add(plain(name), some, dry_run=dry_run), "added", dry_run=dry_run)

    run(work, json)


@app.command("remove-files")
def remove_files(
    name: Name, lfns: Files = None, from_file: FromFile = None, dry_run: DryRun = False, json: Json = None
) -> None:
    """Take files out of a list. The files themselves stay."""

    async def work(client: Client, out: Output) -> None:
        from .names import batches, plain

        async for some in batches(client, lfns, from_file):
            done = await client.datasets.remove_files(plain(name), some, dry_run=dry_run)
            out.changes(done, "taken out", dry_run=dry_run)

    run(work, json)


@app.command()
def rm(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Even when snapshots of it protect files.")] = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Remove a data set and its snapshots. No file is removed."""

    async def work(client: Client, out: Output) -> None:
        from .names import plain

        await client.datasets.remove(plain(name), force=force, dry_run=dry_run)
        told = {"item": plain(name), "changed": True, "dry_run": dry_run}
        out.text(told, f"{'would be ' if dry_run else ''}removed: {plain(name)}")

    run(work, json)


def pairs(given: list[str] | None) -> dict[str, Any]:
    """KEY=VALUE; a value is what it is as JSON, else a text."""
    from ..model.errors import InvalidRequest
    from ..model.typed import typed

    if bad := [text for text in given or () if "=" not in text]:
        raise InvalidRequest(f"'{bad[0][:80]}' is not KEY=VALUE")
    return {k: typed(None, v) for k, _, v in (text.partition("=") for text in given or ())}


def combination(of: list[str], union: bool, intersection: bool, difference: bool) -> Any:
    """The combination asked for; None when none is."""
    from ..model.dataset import Combination, Combine
    from ..model.errors import InvalidRequest
    from .names import plain

    wished = [how for how, on in zip(Combine, (union, intersection, difference), strict=True) if on]
    if not wished:
        return None
    if len(wished) > 1 or len(of) < 2:
        raise InvalidRequest("name two data sets or more, and one of --union, --intersection, --difference")
    return Combination(wished[0], [plain(name) for name in of])


def changed(out: Output, made: Dataset, verb: str, dry_run: bool) -> None:
    out.text(made, f"{'would be ' if dry_run else ''}{verb}: {made.name}")


def hidden(client: Client) -> None:
    """Say on stderr how many files were not told of."""
    from .output import complain

    if client.datasets.hidden:
        complain(f"{client.datasets.hidden} more files belong to it that you may not read")
