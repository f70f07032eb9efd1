"""`lading fetch` and `lading store`: what job wrappers do, unattended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DryRun, FromFile, Json, Lfns, Parallel, Site
from .run import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..client.client import Client
    from .output import Output

app = typer.Typer()
_EVERY = 7.5  # seconds between two tries at last, on the average

Patience = Annotated[
    float, typer.Option("--patience", min=0, help="Seconds to go on trying when server or storage are away.")
]
Manifest = Annotated[
    str | None,
    typer.Option(
        "--manifest", metavar="FILE", help="Write what came of it there, a JSON object a file, when all is well."
    ),
]


@app.command()
def fetch(
    to: Annotated[str, typer.Option("--to", metavar="FOLDER", help="Where they go; made when it is not there.")],
    lfns: Lfns = None,
    from_file: FromFile = None,
    manifest: Manifest = None,
    cache: Annotated[
        str | None,
        typer.Option("--cache", metavar="FOLDER", help="Shared by the jobs of a node.", envvar="LADING_CACHE"),
    ] = None,
    cache_size: Annotated[
        str, typer.Option("--cache-size", help="Its limit: bytes, or as 500M, 20G.", envvar="LADING_CACHE_SIZE")
    ] = "20G",
    link: Annotated[
        str, typer.Option("--link", metavar="hard|symbolic", help="Link to read-only files instead of copying them.")
    ] = "",
    se: Annotated[list[str] | None, typer.Option("--se", help="Only from these elements.")] = None,
    site: Site = None,
    parallel: Parallel = 4,
    patience: Patience = 300,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Bring all inputs of a job into a folder, verified, or none of them.

    Exit code 0: all are there. Otherwise none is shown; what has come is kept for the next try, below .lading-fetch.
    """

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from .names import one_batch
        from .output import size
        from .progress import moving

        if link not in ("", "hard", "symbolic"):
            raise InvalidRequest(f"no such kind of link: '{link}'. There are hard and symbolic")
        limit = _bytes(cache_size)
        names = await one_batch(client, lfns, from_file)
        if dry_run:
            found = await client.resolve(names, site=site, ses=se or [])
            out.outcomes(found, lambda outcome: _would(out, outcome.item, outcome.value))
            return
        with moving("fetch") as progress:
            outcomes = await client.fetch(
                names, to, cache=cache, cache_limit=limit, link=link,
                site=site, ses=se or [], parallel=parallel, progress=progress,
            )  # fmt: skip
        bad = [o for o in outcomes if o.error is not None]
        for outcome in bad:
            out.outcomes([outcome], lambda _: None)
        if bad:
            return
        for got in (o.value for o in outcomes):
            if got is not None:
                origin = f" from {got.se}" if got.se else ""
                out.text(got, f"{got.lfn} -> {got.path}: {size(got.size)} {got.how}{origin}")
        _write(manifest, [o.value for o in outcomes])

    run(work, json, tries=_tries(patience))


@app.command()
def store(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files of this machine.")],
    to: Annotated[str, typer.Option("--to", metavar="DIR", help="The directory (LFN) they go into.")],
    se: Annotated[
        list[str] | None,
        typer.Option(
            "--se", metavar="A,B", help="Elements, the first that works is taken.  [default: the server's choice]"
        ),
    ] = None,
    replicate_to: Annotated[
        str,
        typer.Option(
            "--replicate-to", metavar="ELEMENTS", help="Where they belong: copies are made in the background."
        ),
    ] = "",
    copies: Annotated[int, typer.Option("--copies", min=1, max=100, help="How many of --replicate-to.")] = 1,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="Metadata, read as the fields are declared.")
    ] = None,
    ancestor: Annotated[
        list[str] | None, typer.Option("--ancestor", metavar="LFN", help="What they were made from.")
    ] = None,
    checksum: Annotated[
        list[str] | None, typer.Option("--checksum", help="Kinds to compute.  [default: adler32]")
    ] = None,
    manifest: Manifest = None,
    parallel: Parallel = 4,
    patience: Patience = 300,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Store the outputs of a job: verified, registered, described, ordered to where they belong. Safe to run twice."""

    async def work(client: Client, out: Output) -> None:
        from ..client.store import named
        from .names import plain
        from .output import size
        from .progress import moving
        from .typed import types
        from .values import pairs as key_values

        pairs = named(files, plain(to))
        elements = [name for text in se or () for name in text.split(",") if name]
        if dry_run:
            for local, lfn in pairs:
                where = f" on {' or '.join(elements)}" if elements else ""
                out.text({"item": local, "lfn": lfn, "dry_run": True}, f"would store {local} -> {lfn}{where}")
            return
        metadata: dict[str, Any] = key_values(meta, json=False)
        if metadata:
            value_of = await types(client)
            metadata = {key: value_of(pairs[0][1], key, text) for key, text in metadata.items()}
        with moving("store") as progress:
            kept = await client.store(
                pairs, ses=elements, to=replicate_to, copies=copies, metadata=metadata, parallel=parallel,
                ancestors=[plain(lfn) for lfn in ancestor or ()], checksums=checksum or ["adler32"], progress=progress,
            )  # fmt: skip
        for outcome in kept.outcomes:
            stored = outcome.value
            if outcome.error is not None:
                out.failed(outcome.item, outcome.error)
            elif stored is not None:
                value = {"item": outcome.item, **{f: getattr(stored, f) for f in stored.__struct_fields__}}
                value["request"] = kept.request
                done = (f"on {stored.se}" if stored.se else "stored") if stored.changed else "already there"
                out.text(value, f"{outcome.item} -> {stored.lfn}: {size(stored.size)} {done}")
        if kept.request is not None and not out.json:
            out.raw(f"copies are made by request {kept.request}: lading request show {kept.request}")
        if not out.failures:
            _write(manifest, [o.value for o in kept.outcomes])

    run(work, json, tries=_tries(patience))


def _would(out: Output, lfn: str, file: Any) -> None:
    from .output import size

    source = file.sources[0].se if file and file.sources else None
    told = {"item": lfn, "dry_run": True, "size": file and file.size, "se": source}
    out.text(
        told, f"would fetch {lfn}: {size(file and file.size)} from {source or 'nowhere: ' + str(file and file.why)}"
    )


def _tries(patience: float) -> int:
    """So many as take about so many seconds: waits double to ten, shortened by chance (see client.retry)."""
    return 6 + int(max(patience - 6, 0) / _EVERY)


def _bytes(text: str) -> int:
    from ..model.errors import InvalidRequest

    number, unit = text[:-1], "KMGT".find(text[-1:].upper())
    number, factor = (text, 1) if unit < 0 else (number, 1 << (10 * (unit + 1)))
    if not number.isdecimal():
        raise InvalidRequest(f"'{text}' is no number of bytes: 5000000, 500M or 20G")
    return int(number) * factor


def _write(manifest: str | None, done: Sequence[Any]) -> None:
    """Whole, or not at all."""
    if manifest is None:
        return
    import os
    from pathlib import Path

    from ..client.local import told
    from .output import encoded

    with told(manifest):
        draft = Path(f"{manifest}.lading-part")
        draft.write_text("".join(encoded(one) + "\n" for one in done if one is not None))
        os.replace(draft, manifest)
