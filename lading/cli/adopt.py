"""`lading se adopt`: what lies on an element, taken into the catalogue."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .options import DryRun, Json, Name
from .run import run
from .scan import Report, Under, seconds, told, with_kind

if TYPE_CHECKING:
    from ..client.client import Client
    from .output import Output

app = typer.Typer()


class Sums(StrEnum):
    TOLD = "told"
    COMPUTED = "computed"
    NONE = "none"


@app.command()
def adopt(
    name: Name,
    to: Annotated[str, typer.Option("--to", metavar="LFN", help="The directory that the files come to be in.")],
    under: Under = None,
    grace: Annotated[str, typer.Option("--grace", metavar="AGE", help="What is younger waits: 1d, 6h, 30m.")] = "1h",
    checksums: Annotated[
        Sums, typer.Option("--checksums", help="Those the storage knows, those it computes by reading, or none.")
    ] = Sums.TOLD,
    report: Report = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Register what lies on an element: PREFIX/a/b there becomes the file LFN/a/b. No byte is moved or changed.

    What the catalogue has already is left alone, so a run that was broken off goes on when it is started again.
    """

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import Fault
        from ..model.scan import Adopt, AdoptSummary, Skipped
        from .names import plain
        from .output import size
        from .values import chosen, struct

        values = {"to": plain(to), "grace": seconds(grace), "checksums": checksums.value, "dry_run": dry_run}
        order = struct(Adopt, values | chosen(under=under))
        would = "would be " if dry_run else ""
        async for line in told(out, client.elements.adopt(name, order), report):
            if isinstance(line, Skipped):
                out.failed(line.pfn, Fault(line.code, line.why), lfn=line.lfn)
            elif isinstance(line, AdoptSummary):
                more = {"in the catalogue already": line.known, "too young": line.young, "in flight": line.in_flight}
                rest = "".join(f", {count} {what}" for what, count in more.items() if count)
                out.text(
                    with_kind(line),
                    f"{line.element}: {line.adopted} {would}adopted ({size(line.bytes)}), {line.skipped} skipped{rest}",
                )
                out.done -= not line.adopted and line.skipped > 0
                out.failures += line.skipped if report else 0
            else:
                out.text(with_kind(line), f"{would}adopted: {line.pfn} as {line.lfn}")

    run(work, json)
