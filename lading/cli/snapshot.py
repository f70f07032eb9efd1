"""`lading dataset`, the part about snapshots: freeze, snapshots, diff, check, annotate, release, export."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Annotated

import typer

from .dataset import app as app  # its group: for `main`
from .dataset import hidden, pairs
from .options import DryRun, Json, Name
from .run import run

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ..client.client import Client
    from .output import Output

Snapshot = Annotated[str, typer.Argument(metavar="NAME@N", help="A snapshot; NAME is its latest.")]
Note = Annotated[str | None, typer.Option("--note", help="A few words about it.")]
Annotations = Annotated[
    list[str] | None, typer.Option("--annotate", "-a", metavar="KEY=VALUE", help="Annotations; may be repeated.")
]


class Manifest(StrEnum):
    JSON = "json"
    METALINK = "metalink"
    BAGIT = "bagit"


@app.command()
def freeze(name: Name, note: Note = None, annotate: Annotations = None, json: Json = None) -> None:
    """Make a snapshot: an immutable list of what is in it now. Its files can't be removed until it is released."""

    async def work(client: Client, out: Output) -> None:
        from .names import plain

        made = await client.datasets.freeze(plain(name), note=note or "", annotations=pairs(annotate))
        out.text(made, f"frozen: {made.name}, {made.files} files, {made.hash}")

    run(work, json)


@app.command()
def snapshots(name: Name, json: Json = None) -> None:
    """List the snapshots of a data set."""

    async def work(client: Client, out: Output) -> None:
        from . import dataset_show
        from .names import plain

        out.table(">number", "frozen (UTC)", "by", ">files", ">size", "state", "hash", "note")
        async for one in client.datasets.snapshots(plain(name)):
            dataset_show.frozen(out, one)

    run(work, json)


@app.command()
def diff(
    old: Snapshot,
    new: Annotated[str, typer.Argument(metavar="NAME@N", help="Another one, of any data set.")],
    json: Json = None,
) -> None:
    """Show what was added, removed and changed between two snapshots."""

    async def work(client: Client, out: Output) -> None:
        from .names import plain

        signs = {"added": "+", "removed": "-", "changed": "~"}
        async for one in client.datasets.diff(plain(old), plain(new)):
            out.text(one, f"{signs.get(one.change, one.change)} {one.lfn}")

    run(work, json)


@app.command()
def check(name: Snapshot, json: Json = None) -> None:
    """Check that every file of a snapshot is still there, with the same GUID, size and checksums. Exit code 1 if not.

    A file that was moved is told of, and is no fault.
    """

    async def work(client: Client, out: Output) -> None:
        from .names import plain

        async for one in client.datasets.check(plain(name)):
            where = f", now at {one.now}" if one.now else ""
            what = f" ({', '.join(one.fields)})" if one.fields else ""
            out.text(one, f"{one.problem}{what}: {one.lfn}{where}")
            out.failures += one.problem != "moved"

    run(work, json)


@app.command()
def annotate(
    name: Snapshot,
    given: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE...]", help="What to note.")] = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", metavar="KEY", help="Take one away.")] = None,
    note: Note = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Note something about a snapshot, such as a DOI. The list itself never changes."""

    async def work(client: Client, out: Output) -> None:
        from ..model.dataset import SnapshotChange
        from ..model.errors import InvalidRequest
        from .names import plain

        change = SnapshotChange(plain(name), dry_run=dry_run)
        if values := pairs(given) | dict.fromkeys(unset or ()):
            change.annotations = values
        if note is not None:
            change.note = note
        if not values and note is None:
            raise InvalidRequest("say what to note: KEY=VALUE, or --note")
        made = await client.datasets.set_snapshot(change)
        out.text(made, f"{'would be ' if dry_run else ''}annotated: {made.name}")

    run(work, json)


@app.command()
def release(name: Snapshot, dry_run: DryRun = False, json: Json = None) -> None:
    """Let the files of a snapshot be removed again. The list stays; this can't be undone."""

    async def work(client: Client, out: Output) -> None:
        from ..model.dataset import SnapshotChange
        from .names import plain

        made = await client.datasets.set_snapshot(SnapshotChange(plain(name), release=True, dry_run=dry_run))
        out.text(made, f"{'would be ' if dry_run else ''}released: {made.name}")

    run(work, json)


@app.command()
def export(
    name: Name,
    format: Annotated[
        Manifest, typer.Option("--format", help="JSON lines, Metalink 4, or a BagIt bag to be fetched.")
    ] = Manifest.JSON,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="PATH", help="A file; for bagit a new directory.")
    ] = None,
) -> None:
    """Write a manifest of a data set or snapshot, for other programs."""

    async def work(client: Client, out: Output) -> None:
        from ..client import manifest
        from ..client.local import told
        from ..model.errors import InvalidRequest
        from .names import plain

        members = client.datasets.files(plain(name))
        if format is Manifest.BAGIT:
            if not output:
                raise InvalidRequest("say where the bag shall be: --output DIRECTORY")
            out.done += await manifest.bagit(members, client.url, output)
        else:
            with told(output), _opened(output) as stream:
                if format is Manifest.METALINK:
                    out.done += await manifest.metalink(members, client.url, stream)
                else:
                    out.done += await manifest.json_lines(members, stream)
        hidden(client)

    run(work)


def _opened(path: str | None) -> AbstractContextManager[IO[bytes]]:
    return open(path, "wb") if path else nullcontext(sys.stdout.buffer)
