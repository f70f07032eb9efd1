"""Commands that move bytes: put, get, cat."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DryRun, FromFile, Json, Lfns, Parallel, Recursive, Site, complete_lfn
from .run import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from ..client.client import Client
    from ..client.get import Got
    from ..client.put import Stored
    from ..model.outcome import Outcome
    from .output import Output

app = typer.Typer()

Direct = Annotated[
    bool,
    typer.Option("--direct/--no-direct", help="Use the element's own files where this machine has them."),
]


@app.command()
def get(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LFN|LOCAL",
            help="LFNs (or patterns), then a file or folder.",
            autocompletion=complete_lfn,
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="FOLDER", help="Where to; then all arguments are LFNs.")
    ] = None,
    recursive: Recursive = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace local files that differ.")] = False,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on with partial files.")] = True,
    se: Annotated[list[str] | None, typer.Option("--se", help="Only from these elements.")] = None,
    site: Site = None,
    checksum: Annotated[
        list[str] | None,
        typer.Option("--checksum", metavar="KIND", help="Verify these.  [default: all known]"),
    ] = None,
    direct: Direct = True,
    parallel: Parallel = 4,
    from_file: FromFile = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Fetch files, checksums verified; what was interrupted goes on where it stopped."""

    async def work(client: Client, out: Output) -> None:
        from .output import size
        from .progress import moving

        args = list(names or [])
        local = to if to is not None else args.pop() if len(args) > 1 or (args and from_file) else "."
        pairs = _wanted(client, out, args, from_file, local, recursive, dry_run)
        if dry_run:
            async for lfn, path in pairs:
                out.text({"item": lfn, "path": path, "dry_run": True}, f"would get {lfn} -> {path}")
            return

        def show(outcome: Outcome[Got]) -> None:
            got = outcome.value
            if got is None:
                return
            how = f"from {got.se}" if got.changed else "already there"
            checked = ", ".join(f"{k} {v}" for k, v in got.checksums.items()) or "no checksum to verify"
            out.text(got, f"{got.lfn} -> {got.path}: {size(got.size)} {how}, {checked}")

        with moving("get") as progress:
            options: dict[str, Any] = {
                "site": site,
                "ses": se or [],
                "checksum": checksum or [],
                "resume": resume,
            }
            options |= {"overwrite": overwrite, "direct": direct, "parallel": parallel, "progress": progress}
            async for outcome in client.get_many(pairs, **options):
                out.outcomes([outcome], show)

    run(work, json)


async def _wanted(
    client: Client,
    out: Output,
    args: Sequence[str],
    from_file: str | None,
    local: str,
    recursive: bool,
    dry_run: bool,
) -> AsyncIterator[tuple[str, str]]:
    """(LFN, local name) of every file meant; local folders for directories are made as they come."""
    from ..client.local import told
    from ..model.errors import CatalogError, Fault, InvalidRequest
    from ..model.file import Kind
    from ..model.lfn import is_within, parse, shown
    from .names import batches

    folder = local.endswith("/") or os.path.isdir(local)
    number = 0
    async for names in batches(client, args, from_file):
        for outcome in await client.stat(names):
            number += 1
            if number > 1 and not folder:
                raise InvalidRequest(f"'{local}' is no folder: it can't take in several files")
            entry = outcome.value
            if entry is None or entry.kind is not Kind.DIRECTORY:
                yield outcome.item, local  # what is not there is told of by the get
                continue
            if not recursive:
                out.failed(entry.lfn, Fault("invalid_request", f"'{entry.lfn}' is a directory: give -r"))
                continue
            base = os.path.join(local, outcome.item.rstrip("/").rpartition("/")[2]) if folder else local
            async for directory, entries in client.walk(entry.lfn):
                if not is_within(directory, entry.lfn):
                    raise CatalogError(
                        f"the server lists '{shown(directory)}' below '{entry.lfn}': nothing more is fetched"
                    )
                below = os.path.join(base, parse(directory)[len(entry.lfn.rstrip("/")) + 1 :])
                if not dry_run:
                    with told(below):
                        os.makedirs(below, exist_ok=True)
                for child in entries:
                    if child.kind is Kind.FILE:
                        yield child.lfn, os.path.join(below, parse(child.lfn).rpartition("/")[2])


@app.command()
def put(
    names: Annotated[
        list[str], typer.Argument(metavar="LOCAL|LFN", help="Files or folders (- is stdin), then an LFN.")
    ],
    se: Annotated[str | None, typer.Option("--se", help="The element.  [default: the server picks one]")] = None,
    checksum: Annotated[
        list[str] | None,
        typer.Option(
            "--checksum",
            metavar="KIND[:VALUE]",
            help="To compute, or to hold the bytes to.  [default: adler32]",
        ),
    ] = None,
    recursive: Recursive = False,
    guid: Annotated[str | None, typer.Option("--guid", help="The file's GUID.  [default: a new one]")] = None,
    mode: Annotated[str | None, typer.Option("--mode", help="Octal permissions.")] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option("--meta", metavar="KEY=VALUE", help="Metadata, read as the fields are declared."),
    ] = None,
    direct: Direct = True,
    parallel: Parallel = 4,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Store files: verified, then visible. A file that is there already is a success, a different one an error."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from .names import plain
        from .output import size
        from .progress import moving
        from .symbolic import octal
        from .typed import types
        from .values import pairs as key_values

        if len(names) < 2:
            raise InvalidRequest("put needs a local file and an LFN")
        target = plain(names[-1]) + ("/" if len(names) > 2 or names[-1].endswith("/") else "")
        given = [kind.partition(":") for kind in checksum or ["adler32"]]
        if any(v for _, _, v in given) and not all(v for _, _, v in given):
            raise InvalidRequest("give values for all checksums or for none")
        sums: Any = {k: v for k, _, v in given} if given[0][2] else [k for k, _, _ in given]
        jobs = _offered(names[:-1], target.replace("//", "/"), recursive)
        if dry_run:
            for local, lfn in jobs:
                out.text({"item": local, "lfn": lfn, "dry_run": True}, f"would put {local} -> {lfn}")
            return

        metadata: dict[str, Any] = key_values(meta, json=False)
        if metadata:
            value_of = await types(client)
            metadata = {key: value_of(target, key, text) for key, text in metadata.items()}

        def show(outcome: Outcome[Stored]) -> None:
            stored = outcome.value
            if stored is None:
                return
            how = f"on {stored.se}" if stored.se else "stored"
            checked = ", ".join(f"{k} {v}" for k, v in stored.checksums.items())
            done = how if stored.changed else "already there"
            value = {"item": outcome.item, **{f: getattr(stored, f) for f in stored.__struct_fields__}}
            out.text(value, f"{outcome.item} -> {stored.lfn}: {size(stored.size)} {done}, {checked}")

        with moving("put") as progress:
            options: dict[str, Any] = {
                "se": se,
                "checksums": sums,
                "guid": guid,
                "mode": octal(mode) if mode else None,
            }
            options |= {
                "metadata": metadata,
                "direct": direct,
                "parallel": parallel,
                "progress": progress,
            }
            async for outcome in client.put_many(jobs, **options):
                out.outcomes([outcome], show)

    run(work, json)


def _offered(locals_: Sequence[str], target: str, recursive: bool) -> Iterator[tuple[str, str]]:
    """(local name, LFN) of every file meant. Links to folders are not followed."""
    from ..model.errors import InvalidRequest
    from ..model.lfn import shown

    for local in locals_:
        if not os.path.isdir(local):
            yield local, target
            continue
        if not recursive:
            raise InvalidRequest(f"'{shown(local)}' is a folder: give -r")
        base = f"{target}{os.path.basename(os.path.abspath(local))}" if target.endswith("/") else target
        for folder, folders, files in os.walk(local, onerror=_refuse):
            folders.sort()
            below = os.path.relpath(folder, local)
            top = base if below == "." else f"{base}/{below}"
            yield from ((os.path.join(folder, name), f"{top}/{name}") for name in sorted(files))


def _refuse(error: OSError) -> None:
    from ..client.local import told

    with told(error.filename):
        raise error


@app.command()
def cat(
    lfns: Lfns = None,
    se: Annotated[list[str] | None, typer.Option("--se", help="Only from these elements.")] = None,
    site: Site = None,
    from_file: FromFile = None,
) -> None:
    """Write the bytes of files to standard output; exit with 1 when the checksum does not fit in the end."""

    async def work(client: Client, out: Output) -> None:
        import sys

        from ..model.errors import CatalogError
        from .names import batches

        async for names in batches(client, lfns, from_file):
            for lfn in names:
                try:
                    async for chunk in client.stream(lfn, site=site, ses=se or []):
                        sys.stdout.buffer.write(chunk)
                    out.done += 1
                except CatalogError as error:
                    out.failed(lfn, error.fault())

    run(work, False)
