"""`lading rule`: copies that are kept up from now on; and `lading why`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DryRun, FromFile, Json, Lfns
from .order import Dataset, Group, Key, Note, Priority, Query, Under
from .run import run

if TYPE_CHECKING:
    from ..client.client import Client
    from ..model.rule import NewRule, RuleInfo, RulePlan, Want, Why
    from .output import Output

app = typer.Typer(no_args_is_help=True, help="Standing wishes about copies, kept up in the background.")
why = typer.Typer()
Number = Annotated[int, typer.Argument(metavar="N", min=1, help="Its number.")]
Numbers = Annotated[list[int], typer.Argument(metavar="N...", min=1, help="Their numbers.")]
Wants = Annotated[
    list[str], typer.Argument(metavar="N:ELEMENTS...", help="Copies, and where: '2:type=disk' '1:country=FR'.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="DATE", help="When it ends: 2027-06-01.")]
Grace = Annotated[str, typer.Option("--grace", help="How long surplus copies stay: 2d, 6h, 30m, 0s.")]
Activity = Annotated[str, typer.Option("--activity", help="Whose share of the links it takes.")]


@app.command()
def add(
    wants: Wants,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
    until: Until = None,
    grace: Grace = "1d",
    activity: Activity = "rules",
    group: Group = None,
    priority: Priority = 0,
    note: Note = "",
    key: Key = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Keep copies up, of what is there and of what will be. One copy counts for every wish that its element is of:
    `lading rule add --under /biomed/raw '2:type=disk' '1:country=FR & type=disk' '1:type=tape' --until 2027-06-01`"""

    async def work(client: Client, out: Output) -> None:
        new = _new(
            wants, {"under": under, "query": query, "dataset": dataset}, until, grace,
            activity=activity, group=group, priority=priority, note=note,
        )  # fmt: skip
        if dry_run:
            _plan(out, await client.rules.plan(new))
            return
        info = await client.rules.add(new, key=key)
        out.text(info, f"{told(info)}. Follow it: lading rule show {info.id}")

    run(work, json)


@app.command()
def preview(
    wants: Wants,
    under: Under = None,
    query: Query = None,
    dataset: Dataset = None,
    json: Json = None,
) -> None:
    """What such a rule would come to now: the same as `rule add --dry-run`."""

    async def work(client: Client, out: Output) -> None:
        place = {"under": under, "query": query, "dataset": dataset}
        _plan(out, await client.rules.plan(_new(wants, place, None, "1d")))

    run(work, json)


@app.command()
def ls(
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's, for administrators.")] = False,
    json: Json = None,
) -> None:
    """List your rules, and what their last look at all their files found."""

    async def work(client: Client, out: Output) -> None:
        from .output import moment

        by = ["by"] if everybody else []
        out.table(">number", "files of", "wants", ">files", ">ok", ">coming", ">lacking", "looked (UTC)", "until", *by)
        for r in await client.rules.list(everybody=everybody):
            who = [r.user] if everybody else []
            sums = (r.counts.files, r.counts.ok, r.counts.coming, r.counts.lacking)
            out.row(r, r.id, _what(r), _wants(r.wants), *sums, moment(r.checked), moment(r.until), *who)

    run(work, json)


@app.command()
def show(number: Number, json: Json = None) -> None:
    """Show a rule, and what its last look at all its files found."""

    async def work(client: Client, out: Output) -> None:
        from .output import facts, moment

        r = await client.rules.show(number)
        facts(
            out,
            r,
            {
                "rule": told(r), "files of": _what(r), "wants": _wants(r.wants),
                "until (UTC)": moment(r.until) or "for ever", "surplus stays": f"{r.grace:,} s",
                "surplus now": f"{r.counts.surplus:,} copies", "note": r.note, "by": r.user,
                "made (UTC)": moment(r.created), "looked at all (UTC)": moment(r.checked) or "not yet",
                "copies are made by": f"request {r.request}: lading request show {r.request} --links, or --failed",
            },
        )  # fmt: skip

    run(work, json)


@app.command()
def change(
    number: Number,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="When it ends: 2027-06-01, or 'never'.")
    ] = None,
    grace: Annotated[str | None, typer.Option("--grace", help="How long surplus copies stay: 2d, 6h.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", min=-100, max=100, help="Higher is sooner.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="A few words about it.")] = None,
    json: Json = None,
) -> None:
    """Give a rule another end, grace, priority or note."""
    from .values import chosen, instant, seconds

    def values() -> dict[str, Any]:
        end = None if until is None else 0 if until == "never" else instant(until)
        return chosen(until=end, grace=None if grace is None else seconds(grace), priority=priority, note=note)

    _change([number], json, values)


@app.command()
def check(numbers: Numbers, json: Json = None) -> None:
    """Look at all their files now, and try again what failed."""
    _change(numbers, json, lambda: {"check": True})


@app.command()
def rm(numbers: Numbers, dry_run: DryRun = False, json: Json = None) -> None:
    """End rules. The copies that are there stay, and are anybody's to drop."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import CatalogError

        for number in numbers:
            try:
                info = await client.rules.show(number)
                if not dry_run:
                    await client.rules.remove(number)
            except CatalogError as error:
                out.failed(str(number), error.fault())
            else:
                word = "would be ended" if dry_run else "ended"
                out.text({"item": number, "dry_run": dry_run, "changed": not dry_run}, f"{word}: {told(info)}")

    run(work, json)


@why.command(name="why")
def why_(lfns: Lfns = None, from_file: FromFile = None, json: Json = None) -> None:
    """Which rules want files where, what is missing and why."""

    async def work(client: Client, out: Output) -> None:
        from .names import one_batch

        for outcome in await client.rules.why(await one_batch(client, lfns, from_file)):
            if outcome.error is not None:
                out.failed(outcome.item, outcome.error)
            elif outcome.value is not None:
                _why(out, outcome.value)

    run(work, json)


def _new(wants: list[str], place: dict[str, str | None], until: str | None, grace: str, **more: Any) -> NewRule:
    """Raises InvalidRequest."""
    from ..model.errors import InvalidRequest
    from ..model.rule import NewRule
    from .names import plain
    from .values import chosen, instant, seconds, struct

    asked = []
    for text in wants:
        copies, colon, to = text.partition(":")
        if not colon or not copies.strip().isdecimal():
            raise InvalidRequest(f"'{text[:80]}' is not N:ELEMENTS, such as '2:type=disk'")
        asked.append({"copies": int(copies), "to": to.strip()})
    for name in ("under", "dataset"):
        place[name] = plain(value) if (value := place[name]) else None
    values = {"selection": chosen(**place), "wants": asked, "grace": seconds(grace)}
    return struct(NewRule, values | chosen(until=instant(until) if until else None, **more))


def _change(numbers: list[int], json: bool | None, values: Any) -> None:
    async def work(client: Client, out: Output) -> None:
        from ..model.errors import CatalogError
        from ..model.rule import RuleChange
        from .values import struct

        change: RuleChange = struct(RuleChange, values())
        for number in numbers:
            try:
                info = await client.rules.change(number, change)
            except CatalogError as error:
                out.failed(str(number), error.fault())
            else:
                out.text(info, told(info))

    run(work, json)


def told(r: RuleInfo) -> str:
    """`rule 7: 1,200 files, 1,180 ok, 15 coming, 5 lacking`"""
    c = r.counts
    state = "" if r.state == "running" else f" ({r.state})"
    if r.error:
        return f"rule {r.id}{state}: stands still: {r.error}"
    if r.checked is None:
        return f"rule {r.id}{state}: its files are being looked at"
    counted = ((c.ok, "ok"), (c.coming, "coming"), (c.lacking, "lacking"), (c.refused, "not yours to change"))
    return f"rule {r.id}{state}: {c.files:,} files" + "".join(f", {n:,} {word}" for n, word in counted if n)


def _what(r: RuleInfo) -> str:
    s = r.selection
    return s.dataset or (f"{s.under}: {s.query}" if s.query else s.under) or ""


def _wants(wants: list[Want]) -> str:
    return " + ".join(f"{want.copies} on {want.to}" for want in wants)


def _plan(out: Output, plan: RulePlan) -> None:
    from .output import size

    if out.json:
        out.row(plan)
        return
    out.table("from", "to", ">files", ">size", "ways, best first")
    for link in plan.links:
        out.row(link, link.source, link.target, link.files, size(link.bytes), ", ".join(link.ways))
    c = plan.counts
    whole = "" if plan.whole else "; there are more: these were looked at"
    out.text(
        plan,
        f"{c.files:,} files: {c.ok:,} have all, {plan.copies:,} copies would be made ({size(plan.bytes)}),"
        f" {c.surplus:,} are surplus, {c.refused:,} files are not yours to change{whole}",
    )
    for why, count in plan.lacking.items():
        out.text(plan, f"can't be made now, {count:,} files: {why}")


def _why(out: Output, why: Why) -> None:
    from .output import moment

    if out.json:
        out.row(why)
        return
    out.raw(why.lfn)
    out.table("copy on", "state", "wanted by", "goes (UTC)")
    for copy in why.copies:
        by = ", ".join(f"rule {rule}" for rule in copy.rules) or ("nobody" if copy.goes else "no rule")
        out.row(copy, copy.se, copy.state, by, moment(copy.goes))
    out.flush()
    if why.wants:
        out.table("rule", "wants", "there", "coming", "lacking", "why")
        for w in why.wants:
            there, coming = ", ".join(w.there), ", ".join(w.coming)
            out.row(w, w.rule, f"{w.copies} on {w.to}", there, coming, w.lacking or "", w.why or "")
        out.flush()
