"""`lading scan`: an element held against the catalogue."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DryRun, Json, Name
from .run import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager

    from ..client.client import Client
    from ..model.scan import AdoptLine, ScanLine, ScanSummary
    from .output import Output

app = typer.Typer()
_PIECE = 1 << 20
_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


class Policy(StrEnum):
    MARK_LOST = "mark-lost"
    SUSPECT_LOST = "suspect-lost"
    SUSPECT_MISMATCH = "suspect-mismatch"
    DELETE_DARK = "delete-dark"


ORDERS = {
    Policy.MARK_LOST: ("lost", "mark-lost"),
    Policy.SUSPECT_LOST: ("lost", "suspect"),
    Policy.SUSPECT_MISMATCH: ("mismatch", "suspect"),
    Policy.DELETE_DARK: ("dark", "delete"),
}
Under = Annotated[
    str | None, typer.Option("--under", metavar="PREFIX", help="Only PFNs that begin so.  [default: the element's]")
]
Report = Annotated[
    str | None, typer.Option("--report", metavar="FILE", help="Write every line there (JSON), and print the sums only.")
]


@app.command()
def scan(
    name: Name,
    under: Under = None,
    dump: Annotated[
        str | None,
        typer.Option("--dump", metavar="FILE", help="Not the storage but a list of it: XML or text; - for stdin."),
    ] = None,
    recorded: Annotated[
        str | None, typer.Option("--recorded", metavar="TIME", help="When the dump was begun, unless it says so.")
    ] = None,
    strip: Annotated[str, typer.Option("--strip", help="Taken off the front of the dump's names.")] = "",
    prepend: Annotated[str, typer.Option("--prepend", help="Put before the dump's names.")] = "",
    grace: Annotated[
        str, typer.Option("--grace", metavar="AGE", help="What is younger is left out: 1d, 6h, 30m.")
    ] = "1d",
    report: Report = None,
    fix: Annotated[list[Policy] | None, typer.Option("--fix", help="What to do; may be given more than once.")] = None,
    however_many: Annotated[
        bool, typer.Option("--however-many", help="Fix even if more than a tenth is wrong.")
    ] = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Compare an element with the catalogue: what is lost, dark (unknown to the catalogue) or different there.

    Nothing is changed without --fix, and each object is looked at again before. Exit code 1 when something is wrong
    and was not fixed; another when the scan broke off, and then nothing was fixed. See docs/how-to/scan-and-adopt.md.
    """

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from ..model.scan import DumpScan, Scan
        from .names import opened
        from .values import chosen, instant, struct

        orders: dict[str, Any] = {}
        for policy in fix or []:
            kind, verb = ORDERS[policy]
            if orders.setdefault(kind, verb) != verb:
                raise InvalidRequest(f"only one thing can be done about what is {kind}")
        orders |= chosen(under=under) | {"grace": seconds(grace), "however_many": however_many, "dry_run": dry_run}
        if dump is None:
            if recorded or strip or prepend:
                raise InvalidRequest("--recorded, --strip and --prepend are about a --dump")
            await _show(out, client.elements.scan(name, struct(Scan, orders)), report)
            return
        at = {"recorded": instant(recorded)} if recorded else {}
        order = struct(DumpScan, orders | at | {"strip": strip, "prepend": prepend})
        with opened(dump) as stream:
            await _show(out, client.elements.scan_dump(name, _pieces(stream), order), report)

    run(work, json)


def seconds(text: str) -> int:
    """Of `1d`, `6h`, `30m`, `0s`. Raises InvalidRequest."""
    from ..model.errors import InvalidRequest

    if not (match := re.fullmatch(r"(\d{1,6})([dhms])", text)):
        raise InvalidRequest(f"'{text[:40]}' is no age: write 1d, 6h, 30m or 0s")
    return int(match[1]) * _UNITS[match[2]]


async def _pieces(stream: Any) -> AsyncIterator[bytes]:
    from ..client.local import threaded

    while piece := await threaded(lambda: stream.read(_PIECE)):
        yield piece


async def _show(out: Output, lines: AsyncIterator[ScanLine], report: str | None) -> None:
    from ..model.scan import Fixed, Kept, ScanSummary
    from .output import size

    out.table("what", "pfn", "lfn", "detail")
    async for line in told(out, lines, report):
        if isinstance(line, ScanSummary):
            out.text(with_kind(line), _sums(line))
            left = line.lost + line.dark + line.mismatch - (0 if line.dry_run else line.fixed)
            out.failures += left
        elif isinstance(line, Fixed | Kept):
            what, detail = (line.did, "") if isinstance(line, Fixed) else ("kept", line.why)
            out.row(with_kind(line), what, line.pfn, line.lfn, detail)
        else:
            kind = with_kind(line)["kind"]
            both = f"{line.checksum} not {line.expected_checksum}" if line.checksum else ""
            sizes = f"{size(line.size)} not {size(line.expected)}" if kind == "mismatch" and not both else ""
            detail = both or sizes or line.note or size(line.expected if line.size is None else line.size)
            out.row(with_kind(line), kind, line.pfn, line.lfn, detail)


def _sums(s: ScanSummary) -> str:
    from .output import size

    rest = {"too young": s.young, "in flight": s.in_flight, "being deleted": s.going, "lost before": s.known_lost}
    rest |= {"marked lost and there": s.returned, "told twice": s.repeated, "of the dump left out": s.left_out}
    more = "".join(f", {count} {what}" for what, count in rest.items() if count)
    done = f"; {s.fixed} {'would be ' if s.dry_run else ''}fixed, {s.kept} kept" if s.fixed or s.kept else ""
    return (
        f"{s.element}: {s.objects} objects, {s.replicas} replicas, {s.same} the same, {s.lost} lost"
        f" ({size(s.lost_bytes)}), {s.dark} dark ({size(s.dark_bytes)}), {s.mismatch} different{more}{done}"
    )


# ── for `lading se adopt` too ────────────────────────────────────────────────────────────────────────────────────────


async def told(out: Output, lines: AsyncIterator[Any], report: str | None) -> AsyncIterator[Any]:
    """Lines without the signs of life; with a `report` all go there and the summary alone comes through."""
    from ..client.local import told as local
    from ..model.scan import AdoptSummary, Progress, ScanSummary
    from .output import encoded

    with local(report) if report else nullcontext(), _written(report) as file, _alive() as tell:
        async for line in lines:
            if isinstance(line, Progress):
                tell(line)
                continue
            if file is not None:
                file.write(encoded(with_kind(line)) + "\n")
            if file is None or isinstance(line, ScanSummary | AdoptSummary):
                yield line


def with_kind(line: ScanLine | AdoptLine) -> dict[str, Any]:
    """A line with all its fields and the kind that it is."""
    from .output import full

    return {"kind": type(line).__struct_config__.tag, **full(line)}


def _written(path: str | None) -> AbstractContextManager[Any]:
    return open(path, "w", encoding="utf-8") if path else nullcontext()


@contextmanager
def _alive() -> Iterator[Callable[[Any], None]]:
    """Shows how far it is on stderr, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("waiting") as status:
        yield lambda p: status.update(f"{p.phase}: {p.done:,}" + (f" of {p.total:,}" if p.total else ""))
