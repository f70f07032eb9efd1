"""`lading request`: how far the orders are, what failed and why; pause, go on, cancel, try again."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json
from .run import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from ..client.client import Client
    from ..model.request import LinkProgress, RequestChange, RequestInfo, TransferInfo
    from .output import Output

app = typer.Typer(no_args_is_help=True, help="Orders that the server carries out: see `lading replicate`.")
Number = Annotated[int, typer.Argument(metavar="N", min=1, help="Its number.")]
Numbers = Annotated[list[int], typer.Argument(metavar="N...", min=1, help="Their numbers.")]


@app.command()
def ls(
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's, for administrators.")] = False,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only those; may be given more than once: running, done, ...")
    ] = None,
    json: Json = None,
) -> None:
    """List your requests, the latest first."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from ..model.request import RequestState
        from .output import moment, size

        try:
            states = [RequestState(text) for text in state or ()]
        except ValueError as error:
            raise InvalidRequest(f"{error}: there are {', '.join(RequestState)}") from None
        by = ["by"] if everybody else []
        out.table(">number", "kind", "state", ">ended", ">failed", ">size", "made (UTC)", "to", "what", *by)
        async for r in client.requests.list(everybody=everybody, states=states):
            gone = f"{r.done + r.skipped + r.failed + r.cancelled}/{r.files}"
            who = [r.user] if everybody else []
            sums = (gone, r.failed, size(r.bytes), moment(r.created))
            out.row(r, r.id, r.kind, r.state, *sums, r.to, _what(r), *who)

    run(work, json)


@app.command()
def show(
    number: Number,
    failed: Annotated[bool, typer.Option("--failed", help="What failed for good, each with its last reason.")] = False,
    tries: Annotated[bool, typer.Option("--tries", help="Every try, the latest first.")] = False,
    active: Annotated[bool, typer.Option("--active", help="What workers are at.")] = False,
    links: Annotated[bool, typer.Option("--links", help="How far it is over each link.")] = False,
    json: Json = None,
) -> None:
    """Show how far a request is."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest

        if failed + tries + active + links > 1:
            raise InvalidRequest("one of --failed, --tries, --active and --links at a time")
        if failed:
            await _transfers(out, client.requests.failures(number))
        elif tries:
            await _transfers(out, client.requests.tries(number))
        elif active:
            await _transfers(out, _each(await client.requests.active(number)))
        elif links:
            _links(out, await client.requests.links(number))
        else:
            _facts(out, await client.requests.show(number))

    run(work, json)


@app.command()
def wait(number: Number, json: Json = None) -> None:
    """Wait until a request has ended, and show how far it is. Exit code 1 when something failed or it was cancelled."""

    async def work(client: Client, out: Output) -> None:
        await ended(client, out, number)

    run(work, json)


@app.command()
def pause(numbers: Numbers, json: Json = None) -> None:
    """Begin no more of their transfers; those under way come to their end."""
    _change(numbers, json, state="paused")


@app.command()
def resume(numbers: Numbers, json: Json = None) -> None:
    """Go on with paused ones."""
    _change(numbers, json, state="running")


@app.command()
def cancel(numbers: Numbers, json: Json = None) -> None:
    """End them now: what is under way is broken off, what is done stays."""
    _change(numbers, json, state="cancelled")


@app.command()
def retry(numbers: Numbers, json: Json = None) -> None:
    """Try again what failed."""
    _change(numbers, json, retry=True)


@app.command()
def priority(
    numbers: Numbers,
    to: Annotated[int, typer.Option("--to", min=-100, max=100, help="The higher, the sooner.")],
    json: Json = None,
) -> None:
    """Have them done sooner or later than others."""
    _change(numbers, json, priority=to)


def _change(numbers: list[int], json: bool | None, **what: object) -> None:
    async def work(client: Client, out: Output) -> None:
        from ..model.errors import CatalogError
        from ..model.request import RequestChange
        from .values import struct

        change: RequestChange = struct(RequestChange, what)
        for number in numbers:
            try:
                info = await client.requests.change(number, change)
            except CatalogError as error:
                out.failed(str(number), error.fault())
            else:
                out.text(info, told(info))

    run(work, json)


async def ended(client: Client, out: Output, number: int) -> None:
    """Wait for it, with its progress on a terminal, and print what came of it."""
    with _watched() as tell:
        info = await client.requests.wait(number, lambda info: tell(told(info)))
    out.text(info, told(info))
    if info.failed or info.state != "done":
        out.failures += max(info.failed, 1)
        if info.failed and not out.json:
            out.raw(f"what failed and why: lading request show {number} --failed")


def told(r: RequestInfo) -> str:
    """`request 7 (replicate): running, 12 of 40 files, 1.2 GiB of 4.0 GiB, 80.0 MiB/s, 35 s left`"""
    from .output import size

    gone = r.done + r.skipped + r.failed + r.cancelled
    parts = [f"request {r.id} ({r.kind}): {r.state}"]
    if r.state == "planning" and not r.files:
        return parts[0]
    parts.append(f"{gone:,} of {r.files:,} files" + ("" if r.planned else " known so far"))
    if r.bytes:
        parts.append(f"{size(r.done_bytes)} of {size(r.bytes)}")
    if r.finished is None and r.rate:
        parts.append(f"{size(int(r.rate))}/s")
    if r.finished is None and r.eta is not None:
        parts.append(f"{r.eta:,.0f} s left")
    for count, what in ((r.active, "under way"), (r.failed, "failed"), (r.cancelled, "cancelled")):
        if count:
            parts.append(f"{count:,} {what}")
    if r.error:
        parts.append(r.error)
    return ", ".join(parts)


def _what(r: RequestInfo) -> str:
    s = r.selection
    on = s.on and f"all on {s.on}"
    return on or s.dataset or (f"{s.under}: {s.query}" if s.query else s.under) or "listed files"


def _facts(out: Output, r: RequestInfo) -> None:
    from .output import facts, moment

    facts(
        out,
        r,
        {
            "request": told(r), "files": _what(r), "to": r.to, "source": r.source,
            "copies": (r.copies or "as many as go") if r.to else None, "activity": r.activity, "group": r.group,
            "priority": r.priority or None, "note": r.note, "rule": r.rule, "by": r.user,
            "made (UTC)": moment(r.created), "ended (UTC)": moment(r.finished),
        },
    )  # fmt: skip


async def _transfers(out: Output, found: AsyncIterator[TransferInfo]) -> None:
    from .output import moment, size

    out.table("lfn", "from", "to", "result", ">size", ">seconds", "way", "at (UTC)", "error")
    async for t in found:
        seconds = f"{t.seconds:.1f}" if t.seconds else ""
        out.row(t, t.lfn, t.source, t.target, t.result, size(t.bytes), seconds, t.way, moment(t.at), t.error)


def _links(out: Output, found: list[LinkProgress]) -> None:
    from .output import size

    out.table("from", "to", ">waiting", ">size", ">under way", ">done", ">size", ">failed", ">tried again", ">rate")
    for n in found:
        done, rate = (n.done, size(n.done_bytes)), f"{size(int(n.rate))}/s"
        out.row(n, n.source, n.target, n.waiting, size(n.waiting_bytes), n.active, *done, n.failed, n.retried, rate)


async def _each(found: list[TransferInfo]) -> AsyncIterator[TransferInfo]:
    for one in found:
        yield one


@contextmanager
def _watched() -> Iterator[Callable[[str], None]]:
    """A line on stderr that changes, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True, markup=False, highlight=False).status("waiting") as status:
        yield status.update
