"""`lading field`: what metadata a VO has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DryRun, Json, Lfn, Name
from .run import run

if TYPE_CHECKING:
    from ..client.client import Client
    from ..model.field import Field
    from ..model.metadata import FieldEffect
    from .output import Output

app = typer.Typer(no_args_is_help=True, help="Metadata fields: what can be said of files and directories, VO by VO.")

VO = Annotated[str, typer.Argument(metavar="VO")]
Unit = Annotated[str | None, typer.Option("--unit", help="For people: mm, GeV, ...")]
Description = Annotated[str | None, typer.Option("--description")]
Allowed = Annotated[
    list[str] | None, typer.Option("--allowed", metavar="VALUE", help="The only values; may be given more than once.")
]
Pattern = Annotated[str | None, typer.Option("--pattern", help="A regular expression that texts must match.")]
Minimum = Annotated[str | None, typer.Option("--min", metavar="VALUE", help="The least value.")]
Maximum = Annotated[str | None, typer.Option("--max", metavar="VALUE", help="The greatest value.")]
Below = Annotated[
    list[str] | None,
    typer.Option("--required-below", metavar="LFN", help="No new file below this directory can be without."),
]


@app.command()
def add(
    vo: VO,
    name: Name,
    type: Annotated[str, typer.Argument(metavar="TYPE", help="int, float, bool, string, timestamp, date or json.")],
    unit: Unit = None,
    description: Description = None,
    allowed: Allowed = None,
    pattern: Pattern = None,
    minimum: Minimum = None,
    maximum: Maximum = None,
    required_below: Below = None,
    indexed: Annotated[bool, typer.Option("--indexed", help="Make searches of files by it fast.")] = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Declare a field (administrators of the VO)."""
    given = {"unit": unit, "description": description, "pattern": pattern, "required_below": required_below}

    async def work(client: Client, out: Output) -> None:
        from ..model.field import FieldSpec
        from ..model.typed import typed
        from .values import chosen, struct

        rules = {
            "allowed": None if allowed is None else [typed(type, v) for v in allowed],
            "minimum": None if minimum is None else typed(type, minimum),
            "maximum": None if maximum is None else typed(type, maximum),
        }
        values = chosen(**given, **rules) | {"vo": vo, "name": name, "type": type, "indexed": indexed}
        out.changes(await client.fields.add([struct(FieldSpec, values)], dry_run=dry_run), "declared", dry_run=dry_run)

    run(work, json)


@app.command()
def ls(vo: Annotated[str | None, typer.Argument(metavar="[VO]")] = None, json: Json = None) -> None:
    """List the fields."""

    async def work(client: Client, out: Output) -> None:
        out.table("VO", "name", "type", "unit", "index", "set on", "description")
        for f in await client.fields.list(vo):
            where = " and ".join(w for w, yes in (("files", f.on_files), ("directories", f.on_dirs)) if yes)
            out.row(f, f.vo, f.name, f.type.value, f.unit, _index(f), where, f.description)

    run(work, json)


@app.command()
def show(vo: VO, name: Name, json: Json = None) -> None:
    """Show one field, its rules, and how far its index is."""

    async def work(client: Client, out: Output) -> None:
        _facts(out, await client.fields.show(vo, name))

    run(work, json)


@app.command("set")
def set_(
    vo: VO,
    name: Name,
    rename: Annotated[str | None, typer.Option("--rename", metavar="NAME", help="Its values go along.")] = None,
    type: Annotated[str | None, typer.Option("--type", help="A wider one; its values go along.")] = None,
    unit: Unit = None,
    description: Description = None,
    allowed: Allowed = None,
    pattern: Pattern = None,
    minimum: Minimum = None,
    maximum: Maximum = None,
    required_below: Below = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="RULE", help="allowed, pattern, min, max or required-below: take it away."),
    ] = None,
    recount: Annotated[
        bool, typer.Option("--recount", help="Count its values: it is searched for only where there are any.")
    ] = False,
    dry_run: DryRun = False,
    json: Json = None,
) -> None:
    """Change a field; what is not named stays as it is. --dry-run tells how many values would go along."""

    async def work(client: Client, out: Output) -> None:
        from ..model.errors import InvalidRequest
        from ..model.metadata import FieldChange
        from ..model.typed import typed
        from .values import chosen, struct

        kind = type or (await client.fields.show(vo, name)).type.value
        changes: dict[str, Any] = chosen(
            name=rename, type=type, unit=unit, description=description, pattern=pattern, required_below=required_below,
            allowed=None if allowed is None else [typed(kind, v) for v in allowed],
            minimum=None if minimum is None else typed(kind, minimum),
            maximum=None if maximum is None else typed(kind, maximum),
        )  # fmt: skip
        rules: dict[str, tuple[str, Any]] = {
            "allowed": ("allowed", None),
            "pattern": ("pattern", None),
            "min": ("minimum", None),
            "max": ("maximum", None),
            "required-below": ("required_below", []),
        }
        for rule in unset or ():
            if rule not in rules:
                raise InvalidRequest(f"'{rule[:40]}' is no rule: {', '.join(rules)}")
            changes.update([rules[rule]])
        if recount:
            changes["recount"] = True
        if not changes:
            raise InvalidRequest("say what to change: see `lading field set --help`")
        change = struct(FieldChange, changes | {"dry_run": dry_run})
        _effect(out, await client.fields.set(vo, name, change), "changed")

    run(work, json)


@app.command()
def index(
    vo: VO,
    name: Name,
    on: Annotated[bool, typer.Option("--on/--off", help="Make it, or drop it.")] = True,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return when it is done.")] = False,
    json: Json = None,
) -> None:
    """Have a field indexed, or not any more, while everybody works. Asked again it goes on with what was broken off."""

    async def work(client: Client, out: Output) -> None:
        import asyncio

        from ..model.errors import Fault
        from ..model.field import IndexState
        from .progress import counting

        field = await client.fields.index(vo, name, on=on)
        with counting("index, per mille", 1000) as tick:
            done = 0
            while wait and field.index_state is IndexState.BUILDING:
                await asyncio.sleep(0.5)
                field = await client.fields.show(vo, name)
                now = round((field.index_progress or 0) * 1000)
                tick(max(now - done, 0))
                done = max(now, done)
        if field.index_state is IndexState.FAILED:
            out.failed(name, Fault("error", field.index_error or "the index could not be made"))
        else:
            out.text(field, f"{vo} {name}: {_index(field) or 'no index'}")

    run(work, json)


@app.command()
def rm(vo: VO, name: Name, dry_run: DryRun = False, json: Json = None) -> None:
    """Delete a field and every value of it. --dry-run tells how many there are."""

    async def work(client: Client, out: Output) -> None:
        _effect(out, await client.fields.remove(vo, name, dry_run=dry_run), "deleted")

    run(work, json)


@app.command()
def trees(json: Json = None) -> None:
    """List the directories that take keys which no field declares."""

    async def work(client: Client, out: Output) -> None:
        for lfn in await client.fields.trees():
            out.text({"lfn": lfn}, lfn)

    run(work, json)


@app.command("open")
def open_(lfn: Lfn, dry_run: DryRun = False, json: Json = None) -> None:
    """Keep undeclared keys below a directory, as JSON (administrators of the VO)."""
    _tree(lfn, True, dry_run, json)


@app.command()
def close(lfn: Lfn, dry_run: DryRun = False, json: Json = None) -> None:
    """Refuse undeclared keys there again; values that are there stay."""
    _tree(lfn, False, dry_run, json)


def _tree(lfn: str, opened: bool, dry_run: bool, json: bool | None) -> None:
    async def work(client: Client, out: Output) -> None:
        from .names import plain

        path = plain(lfn)
        change = client.fields.open_tree if opened else client.fields.close_tree
        await change(path, dry_run=dry_run)
        told = f"{'would be ' if dry_run else ''}{'open' if opened else 'closed'}: {path}"
        out.text({"item": path, "changed": True, "dry_run": dry_run}, told)

    run(work, json)


def _index(field: Field) -> str:
    """`ready`, `building 40 %`; nothing when there is none."""
    state = field.index_state.value
    if state == "building":
        return f"building {round((field.index_progress or 0) * 100)} %"
    return "" if state == "none" else state


def _facts(out: Output, field: Field) -> None:
    from .output import facts

    told = {
        "VO": field.vo, "name": field.name, "type": field.type.value, "unit": field.unit,
        "description": field.description, "allowed": field.allowed, "pattern": field.pattern, "min": field.minimum,
        "max": field.maximum, "required below": field.required_below, "index": _index(field) or "none",
        "index error": field.index_error, "set on files": "yes" if field.on_files else "no",
        "set on directories": "yes" if field.on_dirs else "no",
    }  # fmt: skip
    facts(out, field, told)


def _effect(out: Output, effect: FieldEffect, verb: str) -> None:
    field = effect.field
    counts = f"with the values of {effect.files} files and {effect.directories} directories"
    out.text(effect, f"{'would be ' if effect.dry_run else ''}{verb}: {field.vo} {field.name} {counts}")
