"""`lading register`: millions of files from JSON lines, in constant memory, with a report of every line that failed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from .options import Count, DryRun, Json
from .run import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..client.client import Client
    from ..model.file import FileSpec, Registered
    from ..model.outcome import Outcome
    from .output import Output

app = typer.Typer()

BATCH = 1000
LONGEST = 1 << 24  # bytes of one line
HEAVIEST = 4 << 20  # bytes of the lines of one call


@app.command()
def register(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines; - for standard input.")] = "-",
    parents: Annotated[bool, typer.Option("--parents/--no-parents", help="Make missing directories.")] = True,
    parallel: Annotated[int, typer.Option("--parallel", "-j", min=1, max=16, help="Calls under way at a time.")] = 4,
    count: Count = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Register files that are on elements already, one JSON object a line.

    {"lfn": "/vo/x", "size": 12, "guid": "...", "checksums": {"adler32": "1f2a0b3c"},
    "replicas": [{"se": "disk1", "pfn": "a/b"}], "metadata": {}} - only lfn and size must be there. Safe to repeat.
    """

    async def work(client: Client, out: Output) -> None:
        from ..client.batch import pipelined
        from ..model.errors import CatalogError
        from .names import opened
        from .progress import counting

        tally = {"registered": 0, "unchanged": 0, "failed": 0}

        async def call(batch: list[Line]) -> list[Outcome[Registered]]:
            specs = [spec for _, spec, _ in batch if spec is not None]
            done = iter(await client.register(specs, parents=parents, dry_run=dry_run) if specs else [])
            return [_bad(why) if spec is None else next(done) for _, spec, why in batch]

        with opened(file) as stream, counting("bytes", _size(stream)) as tick:
            at = 0
            async for batch, result in pipelined(_batches(stream), call, parallel):
                if isinstance(result, CatalogError):
                    out.failures += 1
                    stop = f"stopped at line {batch[0][0]}: {result.message}"
                    result.message = f"{stop}; those before it are done, and to run it again is safe"
                    out.text({**tally, "stopped_at_line": batch[0][0]}, f"{tally}")
                    raise result
                for (number, _, _), outcome in zip(batch, result, strict=True):
                    if outcome.error is not None:
                        tally["failed"] += 1
                        out.failed(outcome.item, outcome.error, line=number)
                    else:
                        out.done += 1
                        tally["registered" if outcome.changed else "unchanged"] += 1
                if stream.seekable():
                    tick(stream.tell() - at)
                    at = stream.tell()
        told = tally | ({"dry_run": True} if dry_run else {})
        text = ", ".join(f"{value} {key}" for key, value in tally.items())
        out.done -= 1  # the tally itself is no result
        if count:
            out.text(tally["registered"], str(tally["registered"]))
        else:
            out.text(told, ("would be: " if dry_run else "") + text)

    run(work, json)


Line = tuple[int, "FileSpec | None", str]


def _bad(why: str) -> Outcome[Registered]:
    from ..model.errors import Fault
    from ..model.outcome import Outcome

    return Outcome("", error=Fault("invalid_request", why))


def _batches(stream: BinaryIO) -> Iterator[list[Line]]:
    """(line number, its file or None, what is wrong with it), in lists; empty lines are passed over."""
    import msgspec

    from ..model.file import FileSpec

    decoder = msgspec.json.Decoder(FileSpec)
    batch: list[Line] = []
    number = weight = 0
    while raw := stream.readline(LONGEST):
        number += 1
        weight += len(raw)
        if raw.isspace():
            continue
        try:
            if len(raw) == LONGEST and not raw.endswith(b"\n"):
                while (rest := stream.readline(LONGEST)) and not rest.endswith(b"\n"):
                    pass
                raise ValueError(f"longer than {LONGEST} bytes")
            batch.append((number, decoder.decode(raw), ""))
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            batch.append((number, None, f"not a file as one JSON object: {error}"))
        if len(batch) == BATCH or weight > HEAVIEST:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _size(stream: BinaryIO) -> int | None:
    return os.fstat(stream.fileno()).st_size if stream.seekable() else None
