"""`lading se`: storage elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DryRun, Json, Name
from .run import run

if TYPE_CHECKING:
    from ..client.client import Client
    from ..model.element import ElementInfo, Link
    from .output import Output

_WIDEST = 8  # columns of elements that fit on a screen
app = typer.Typer(no_args_is_help=True, help="Storage elements: the places that hold bytes.")

Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="KEY=VALUE",
        help="Of the type (see `lading se types`); VALUE @FILE reads a file.",
    ),
]
Site = Annotated[str | None, typer.Option("--site", help="Where it stands.")]
Country = Annotated[str | None, typer.Option("--country")]
MediumOption = Annotated[str | None, typer.Option("--medium", help="disk or tape.")]
State = Annotated[str | None, typer.Option("--state", help="active, read-only, drain or off.")]
Read = Annotated[bool | None, typer.Option("--read/--no-read", help="May be read from.")]
Write = Annotated[bool | None, typer.Option("--write/--no-write", help="May be written to.")]
Delete = Annotated[bool | None, typer.Option("--delete/--no-delete", help="May be deleted from.")]
LayoutOption = Annotated[
    str | None,
    typer.Option(
        "--layout",
        help="Where new files go: hash (of the GUID), identity, prefix (the LFN), date, or what packages add.",
    ),
]
Prefix = Annotated[str | None, typer.Option("--prefix", help="Of every PFN.")]
Strip = Annotated[str | None, typer.Option("--strip", help="Taken off the front of LFNs, with layout prefix.")]
Cost = Annotated[int | None, typer.Option("--cost", help="Cheaper elements are read first.")]
Tag = Annotated[list[str] | None, typer.Option("--tag", help="May be given more than once.")]
MaxBytes = Annotated[int | None, typer.Option("--max-bytes", help="No more is put there.")]
MaxConnections = Annotated[int | None, typer.Option("--max-connections", help="Operations at a time.")]
MaxRate = Annotated[int | None, typer.Option("--max-rate", help="Bytes a second that a server moves at most.")]
Scrub = Annotated[
    int | None, typer.Option("--scrub-days", min=0, help="Every copy is read back within so many days; 0: never.")
]
Description = Annotated[str | None, typer.Option("--description")]


@app.command()
def add(
    name: Name,
    type: Annotated[str, typer.Argument(metavar="TYPE", help="posix, memory, ... (see `lading se types`).")],
    option: Option = None,
    site: Site = None,
    country: Country = None,
    medium: MediumOption = None,
    state: State = None,
    read: Read = None,
    write: Write = None,
    delete: Delete = None,
    layout: LayoutOption = None,
    prefix: Prefix = None,
    strip: Strip = None,
    cost: Cost = None,
    tag: Tag = None,
    max_bytes: MaxBytes = None,
    max_connections: MaxConnections = None,
    max_rate: MaxRate = None,
    scrub_days: Scrub = None,
    description: Description = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Add an element; it is tried out before it is taken."""
    given = {
        "site": site, "country": country, "medium": medium, "state": state, "layout": layout, "prefix": prefix,
        "can_read": read, "can_write": write, "can_delete": delete, "strip": strip, "cost": cost, "tags": tag,
        "max_bytes": max_bytes, "max_connections": max_connections, "max_rate": max_rate, "scrub_days": scrub_days,
        "description": description,
    }  # fmt: skip

    async def work(client: Client, out: Output) -> None:
        from ..model.element import ElementSpec
        from .values import chosen, pairs, struct

        options = pairs(option, json=False)
        spec = struct(ElementSpec, chosen(**given) | {"name": name, "type": type, "options": options})
        if dry_run:
            out.text(
                {"item": name, "dry_run": True},
                f"would be added: {name}, a {type} element with {', '.join(options)}",
            )
            return
        _facts(out, await client.elements.add(spec))

    run(work, json)


@app.command("set")
def set_(
    name: Name,
    option: Option = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", metavar="KEY", help="Take an option away.")] = None,
    site: Site = None,
    country: Country = None,
    medium: MediumOption = None,
    state: State = None,
    read: Read = None,
    write: Write = None,
    delete: Delete = None,
    layout: LayoutOption = None,
    prefix: Prefix = None,
    strip: Strip = None,
    cost: Cost = None,
    tag: Tag = None,
    max_bytes: MaxBytes = None,
    max_connections: MaxConnections = None,
    max_rate: MaxRate = None,
    scrub_days: Scrub = None,
    description: Description = None,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Change an element; what is not named stays as it is."""
    given = {
        "site": site, "country": country, "medium": medium, "state": state, "layout": layout, "prefix": prefix,
        "can_read": read, "can_write": write, "can_delete": delete, "strip": strip, "cost": cost, "tags": tag,
        "max_bytes": max_bytes, "max_connections": max_connections, "max_rate": max_rate, "scrub_days": scrub_days,
        "description": description,
    }  # fmt: skip

    async def work(client: Client, out: Output) -> None:
        from ..model.element import ElementChange
        from ..model.errors import InvalidRequest
        from .values import chosen, pairs, struct

        changes = chosen(**given)
        options: dict[str, Any] = pairs(option, json=False) | dict.fromkeys(unset or ())
        if options:
            changes["options"] = options
        if not changes:
            raise InvalidRequest("say what to change: see `lading se set --help`")
        change = struct(ElementChange, changes)
        if dry_run:
            await client.elements.show(name)
            out.text(
                {"item": name, "dry_run": True, "changes": sorted(changes)},
                f"would change {', '.join(changes)} of {name}",
            )
            return
        _facts(out, await client.elements.set(name, change))

    run(work, json)


@app.command()
def ls(
    match: Annotated[
        str, typer.Option("--match", help=r"Only those of an expression, as 'country=FR & type=disk \\ se=old'.")
    ] = "",
    json: Json = None,
) -> None:
    """List the elements."""

    async def work(client: Client, out: Output) -> None:
        from .output import moment, size

        out.table("name", "type", "state", "site", "medium", ">replicas", ">size", "description")
        for e in await client.elements.list(match):
            used = size(e.bytes)
            state = f"OUT since {moment(e.out_since)}" if e.out_since else e.state.value
            out.row(e, e.name, e.type, state, e.site, e.medium.value, e.replicas, used, e.description)

    run(work, json)


@app.command()
def show(name: Name, json: Json = None) -> None:
    """Show all of one element but its secrets."""

    async def work(client: Client, out: Output) -> None:
        _facts(out, await client.elements.show(name))

    run(work, json)


@app.command()
def probe(names: Annotated[list[str], typer.Argument(metavar="NAME")], json: Json = None) -> None:
    """Try elements out: write, read and delete a small object there, now."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import CatalogError, Fault
        from .output import size

        out.table("name", "ok", "read", "write", "delete", ">ms", ">free", ">total")
        for name in names:
            try:
                p = await client.elements.probe(name)
            except CatalogError as error:
                out.failed(name, error.fault())
                continue
            yes = ("no", "yes")
            flags = (yes[p.ok], yes[p.read], yes[p.write], yes[p.delete])
            out.row(p, p.element, *flags, f"{p.milliseconds:.1f}", size(p.free_bytes), size(p.total_bytes))
            if not p.ok:
                out.done -= 1
                out.failed(name, Fault("unavailable", p.error or "the probe failed"))

    run(work, json)


@app.command()
def matrix(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Of these elements; all without.")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Copy a small object over each link, now.")] = False,
    json: Json = None,
) -> None:
    """Show which element can copy to which, and how.

    server: inside the storage, or from server to server. pull: the target fetches it. push: the source sends it.
    stream: through lading. The first way that works is taken.
    """

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import Fault

        links = await client.elements.links(names, trial=probe)
        targets = sorted({x.target for x in links})
        grid = not out.json and len(targets) <= _WIDEST
        if not out.json:
            out.table("from \\ to", *targets) if grid else out.table("from", "to", "ways")
        remarks = []
        for source in sorted({x.source for x in links}):
            row = {x.target: x for x in links if x.source == source}
            if grid:
                out.row(None, source, *("" if t == source else _cell(row[t]) for t in targets))
            for link in row.values():
                if not grid:
                    out.row(link, link.source, link.target, _cell(link))
                if link.trial and not link.trial.ok:
                    out.failed(f"{link.source} -> {link.target}", Fault("unavailable", link.trial.error or "it failed"))
                elif link.why and not out.json:
                    remarks.append(f"{link.source} -> {link.target}: {link.why}")
        for remark in remarks:
            out.text(None, remark)

    run(work, json)


@app.command()
def rm(name: Name, dry_run: DryRun = False, json: Json = None) -> None:
    """Take out an element that holds no replicas."""

    async def work(client: Client, out: Output) -> None:
        if dry_run:
            element = await client.elements.show(name)
            text = f"would be removed: {name} with {element.replicas} replicas"
            out.text({"item": name, "dry_run": True, "replicas": element.replicas}, text)
            return
        await client.elements.remove(name)
        out.text({"item": name, "changed": True}, f"removed: {name}")

    run(work, json)


@app.command()
def drain(
    name: Name,
    to: Annotated[
        str, typer.Option("--to", metavar="ELEMENTS", help="Where its copies go; without, others of its medium.")
    ] = "",
    stop: Annotated[bool, typer.Option("--stop", help="Leave off, and take writes again.")] = False,
    priority: Annotated[int, typer.Option("--priority", min=-100, max=100, help="The higher, the sooner.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is done; exit code 1 when something stays.")] = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Empty an element: no more writes, and each of its copies goes when another, verified one is in its stead.

    Safe to repeat: what was moved is moved, a drain that is under way is gone on with. Then `lading se rm` takes the
    element out.
    """

    async def work(client: Client, out: Output) -> None:
        from .drain import Drain

        drain = Drain(client, out, name)
        if stop:
            await drain.stop(dry_run=dry_run)
        elif dry_run:
            await drain.plan(to)
        else:
            await drain.start(to, priority, wait=wait)

    run(work, json)


@app.command()
def types(json: Json = None) -> None:
    """List the types of storage there are, with their options."""

    async def work(client: Client, out: Output) -> None:
        out.table("type", "option", "kind", "default", "about")
        for t in await client.elements.types():
            if out.json:
                out.row(t)
                continue
            out.row(None, t.name, "", "", "", f"NOT USABLE: {t.missing}" if t.missing else t.summary)
            for o in t.options:
                default = "required" if o.required else "" if o.default is None else o.default
                out.row(None, "", o.name, o.type + (", secret" if o.secret else ""), default, o.description)

    run(work, json)


def _cell(link: Link) -> str:
    if link.trial:
        return f"{link.trial.way} {link.trial.milliseconds:.0f} ms" if link.trial.ok else "FAILED"
    return ", ".join(link.ways) or "no"


def _facts(out: Output, element: ElementInfo) -> None:
    from .output import facts, full, moment, size

    told = full(element) | {"secrets": ", ".join(f"{s} (set)" for s in element.secrets)}
    told |= {name: f"{size(count)} ({count:,} bytes)" for name in ("bytes", "max_bytes") if (count := told[name])}
    told |= {"out_since": moment(element.out_since)} if element.out_since else {}
    if element.scrub is not None:
        s = element.scrub
        last = f", the last ended {moment(s.ended)}" if s.ended else ""
        told["scrub"] = f"{s.looked:,} copies since {moment(s.began)}{last}: lading request show {s.request} --failed"
    told |= {"created": moment(told.pop("ctime")), "changed": moment(told.pop("mtime"))}
    facts(out, element, told)
