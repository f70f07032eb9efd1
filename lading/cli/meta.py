"""`lading meta`: the values of files and directories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Count, DryRun, FromFile, Json, Lfns
from .run import run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..client.client import Client
    from ..model.metadata import Described, Mirrored
    from ..model.outcome import Outcome
    from .output import Output

app = typer.Typer(no_args_is_help=True, help="Metadata of files and directories: what holds, and where it comes from.")

Replace = Annotated[bool, typer.Option("--replace", help="Values that are not named go.")]


@app.command()
def get(
    lfns: Lfns = None,
    own: Annotated[bool, typer.Option("--own", help="Only what is set on the names themselves.")] = False,
    from_file: FromFile = None,
    json: Json = None,
) -> None:
    """Show the metadata of files and directories: each value, and the directory it is inherited from."""

    async def work(client: Client, out: Output) -> None:
        from .names import batches
        from .output import encoded

        out.table("LFN", "field", "value", "from")

        def show(outcome: Outcome[Described]) -> None:
            d = outcome.value
            if d is None:
                return
            if own:
                d.values = {k: v for k, v in d.values.items() if k in d.own}
                d.inherited = {}
            if out.json:
                out.row(d)
                return
            for key, value in sorted(d.values.items()):
                hidden = d.overridden.get(key)
                source = d.inherited.get(key) or (f"own, hides {hidden.value} of {hidden.lfn}" if hidden else "own")
                out.row(None, d.lfn, key, value if isinstance(value, str) else encoded(value), source)
                out.done -= 1
            out.done += 1

        async for names in batches(client, lfns, from_file):
            out.outcomes(await client.get_metadata(names), show)

    run(work, json)


@app.command("set")
def set_(
    args: Annotated[
        list[str], typer.Argument(metavar="LFN... KEY=VALUE...", help="Names, then values; as JSON where they are.")
    ],
    replace: Replace = False,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Set values of files and directories: `lading meta set /vo/scans modality=MRI voxel_size=1.5`."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from .names import batches
        from .typed import types

        at = next((i for i, a in enumerate(args) if "=" in a and not a.startswith(("/", "lfn:"))), len(args))
        given = [a.partition("=")[::2] for a in args[at:]]
        if not given and not replace:
            raise InvalidRequest("say what to set: KEY=VALUE after the names")
        if bad := [a for a in args[at:] if "=" not in a]:
            raise InvalidRequest(f"'{bad[0][:80]}' is not KEY=VALUE: names come first")
        value = await types(client)
        async for names in batches(client, args[:at], from_file):
            items = [(lfn, {k: value(lfn, k, text) for k, text in given}) for lfn in names]
            out.changes(
                await client.set_metadata(items, replace=replace, dry_run=dry_run), "described", dry_run=dry_run
            )

    run(work, json)


@app.command()
def rm(
    lfns: Lfns = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", "-k", metavar="FIELD", help="Which; may be repeated.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every value that is set there.")] = False,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Take values away from files and directories; what is inherited shows again."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from .names import batches

        if bool(key) == all_:
            raise InvalidRequest("say what to take away: --key FIELD, or --all")
        gone: dict[str, Any] = dict.fromkeys(key or ())
        async for names in batches(client, lfns, from_file):
            items = [(lfn, gone) for lfn in names]
            out.changes(await client.set_metadata(items, replace=all_, dry_run=dry_run), "taken away", dry_run=dry_run)

    run(work, json)


@app.command()
def mirror(
    se: Annotated[str, typer.Argument(metavar="SE", help="A storage element that keeps metadata.")],
    lfns: Lfns = None,
    back: Annotated[bool, typer.Option("--back", help="From the storage to the catalogue.")] = False,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Give the storage our metadata of files (iRODS AVUs, Girder metadata, S3 tags), or take its `--back`.

    Declared fields only are taken back; the other keys are told of.
    """

    async def work(client: Client, out: Output) -> None:
        from .names import batches

        out.table("LFN", "values", "ignored")

        def show(outcome: Outcome[Mirrored]) -> None:
            found = outcome.value
            if found is None:
                return
            values = " ".join(f"{key}={value}" for key, value in sorted(found.values.items()))
            told = {"lfn": outcome.item, "values": found.values, "ignored": found.ignored, "dry_run": dry_run}
            out.row(told, outcome.item, values, ", ".join(found.ignored))

        async for names in batches(client, lfns, from_file):
            out.outcomes(await client.mirror_metadata(se, names, back=back, dry_run=dry_run), show)

    run(work, json)


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="CSV or JSON lines; - for standard input.")] = "-",
    format: Annotated[
        str | None, typer.Option("--format", help="csv or json.  [default: by the name, else by the first character]")
    ] = None,
    column: Annotated[str, typer.Option("--lfn-column", help="The column of a CSV file that has the LFNs.")] = "lfn",
    delimiter: Annotated[str, typer.Option("--delimiter", help="Of a CSV file.")] = ",",
    replace: Replace = False,
    parallel: Annotated[int, typer.Option("--parallel", "-j", min=1, max=16, help="Calls under way at a time.")] = 4,
    count: Count = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Set values from a CSV file (a header, an LFN column; empty cells say nothing) or JSON lines.

    {"lfn": "/vo/x", "values": {"modality": "MRI"}} - as `lading meta get` prints them. Safe to repeat.
    """

    async def work(client: Client, out: Output) -> None:
        from ..client.batch import pipelined
        from ..model.errors import CatalogError
        from . import table
        from .names import opened
        from .progress import counting
        from .typed import types

        value = await types(client)
        tally = {"described": 0, "unchanged": 0, "failed": 0}

        async def call(batch: list[table.Line]) -> list[Outcome[None]]:
            items: list[tuple[str, Mapping[str, Any]]] = [(line.lfn, line.values) for line in batch if not line.wrong]
            done = iter(await client.set_metadata(items, replace=replace, dry_run=dry_run) if items else [])
            return [table.bad(line) if line.wrong else next(done) for line in batch]

        with opened(file) as stream, counting("bytes", table.size(stream)) as tick:
            at = 0
            lines = table.batches(stream, format or table.guess(file, stream), column, delimiter, value)
            async for batch, result in pipelined(lines, call, parallel):
                if isinstance(result, CatalogError):
                    out.failures += 1
                    told = f"stopped at line {batch[0].number}: {result.message}; those before it are done"
                    result.message = f"{told}, and to run it again is safe"
                    out.text({**tally, "stopped_at_line": batch[0].number}, f"{tally}")
                    raise result
                for line, outcome in zip(batch, result, strict=True):
                    if outcome.error is not None:
                        tally["failed"] += 1
                        out.failed(outcome.item, outcome.error, line=line.number)
                    else:
                        out.done += 1
                        tally["described" if outcome.changed else "unchanged"] += 1
                if stream.seekable():
                    tick(stream.tell() - at)
                    at = stream.tell()
        text = ", ".join(f"{number} {key}" for key, number in tally.items())
        out.done -= 1  # the tally itself is no result
        if count:
            out.text(tally["described"], str(tally["described"]))
        else:
            out.text(tally | ({"dry_run": True} if dry_run else {}), ("would be: " if dry_run else "") + text)

    run(work, json)
