"""`lading-server import`: take over a legacy catalogue."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import re
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lading.model.errors import InvalidRequest
from migrations.legacy.anomalies import ALL, policies
from migrations.legacy.charset import CHARSETS
from migrations.legacy.importer import Import, Options, PolicyFailed
from migrations.legacy.lfc_layouts import VERSIONS
from migrations.legacy.maps import load
from migrations.legacy.open_dump import open_lfc
from migrations.legacy.records import Source

from . import import_view, place
from .admin import Data, Url

import_app = typer.Typer(
    help="Take over a legacy catalogue. Exit codes: 0 imported (quarantined rows are in the report) · 1 a policy says"
    " fail · 2 wrong usage, or no such dump · 6 this source is being imported already · 8 the database is away",
    no_args_is_help=True,
)


# What a terminal obeys or hides, and JSON lets stand: C1 controls, marks of direction, separators of lines.
_UNSEEN = re.compile(
    "[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


@import_app.command("lfc")
def lfc(
    dump: Annotated[
        str,
        typer.Argument(
            metavar="DUMP",
            help="A mysqldump of the LFC: plain, gz, bz2, xz, or - for a pipe; or a folder, tar or zip of --tab files.",
        ),
    ],
    charset: Annotated[
        str | None,
        typer.Option(
            help=f"Character set of the LFC's text, where the dump does not say it: {', '.join(CHARSETS)}. A dump"
            " without SET NAMES (--compact, ansi, --xml) must be told what it is written in."
            "  [default: what the dump says, else latin1]"
        ),
    ] = None,
    dump_charset: Annotated[
        str | None,
        typer.Option(help="What a dump without SET NAMES is written in, when --charset is to say only the columns'."),
    ] = None,
    schema_version: Annotated[
        str | None,
        typer.Option(help=f"Columns of a dump that tells none (--compact --no-create-info): {', '.join(VERSIONS)}."),
    ] = None,
    user_map: Annotated[str | None, typer.Option(metavar="FILE", help="CSV: dn,username")] = None,
    group_map: Annotated[str | None, typer.Option(metavar="FILE", help="CSV: fqan,group")] = None,
    se_map: Annotated[str | None, typer.Option(metavar="FILE", help="CSV: host,se_name")] = None,
    path_rules: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="CSV: from_prefix,to_prefix; the old prefixes stay good as aliases"),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE=ACTION", help="What to do about a kind of damage; see 'import policies'."),
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write the whole report there.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The same report; the catalogue stays as it is.")] = False,
    suggest_maps: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write what no map knows, with counts and guesses, to CSV files there."),
    ] = None,
    missing_tables: Annotated[
        bool, typer.Option("--missing-tables", help="Take a dump without users, groups or replicas as it is.")
    ] = False,
    source: Annotated[str, typer.Option(help="A name for this LFC, when there are several.")] = "lfc",
    data: Data = None,
    database_url: Url = None,
) -> None:
    """Import an LFC. Killed at any point and run again, or run twice, it comes to the same catalogue.

    What is rotten goes to the quarantine with its row; per table: rows read = imported + skipped + quarantined.
    """
    for option, value, known in (
        ("--charset", charset, CHARSETS),
        ("--dump-charset", dump_charset, CHARSETS),
        ("--schema-version", schema_version, VERSIONS),
    ):
        if value is not None and value not in known:
            raise InvalidRequest(f"{option} {value!a}: choose one of {', '.join(known)}")
    actions = policies(policy or [])
    maps = load(user_map, group_map, se_map, path_rules)
    if report is not None and not report.absolute().parent.is_dir():
        raise InvalidRequest(f"--report: there is no folder {report.absolute().parent}")
    files = [user_map, group_map, se_map, path_rules]
    reading = {
        "charset": charset, "client": dump_charset, "schema_version": schema_version, "partial": missing_tables
    }  # fmt: skip
    fingerprint = _fingerprint(dump, [source, reading, sorted(policy or []), [_content(f) for f in files]])
    opened = partial(open_lfc, dump, **reading)  # type: ignore[arg-type]  # the values have the types of their keys
    made = _run(opened, Options(source, maps, actions, fingerprint, dry_run), data, database_url, report)
    if suggest_maps is not None:
        for path in _suggest(suggest_maps, made["unmapped"]):
            typer.echo(f"wrote {path}", err=True)
    console = Console()
    if console.is_terminal:
        import_view.show(console, made)
    else:
        import_view.show(Console(width=110, highlight=False), made)


@import_app.command("policies")
def show_policies() -> None:
    """List every code of damage, what is done about it, and what else may be (`--policy CODE=ACTION`)."""
    import_view.show_policies(Console(), ALL.values())


def _run(
    open_source: Callable[[], Source], options: Options, data: str | None, url: str | None, report: Path | None
) -> dict[str, Any]:
    with place.database(data, url) as dsn, _progress() as progress:
        options.progress = progress.told
        asyncio.run(place.migrate(dsn))
        try:
            made = asyncio.run(Import(dsn, open_source, options).run())
        except PolicyFailed as failed:
            _write(report, failed.report)
            raise
    _write(report, made)
    return made


def _escape(char: re.Match[str]) -> str:
    return "".join(
        f"\\u{c:04x}" for c in struct.unpack(">2H" if char[0] > "\uffff" else ">H", char[0].encode("utf-16-be"))
    )


def _write(report: Path | None, made: dict[str, Any]) -> None:
    if report is not None:
        text = json.dumps(made, indent=1, ensure_ascii=False)
        report.write_text(_UNSEEN.sub(_escape, text) + "\n", encoding="utf-8")


def _fingerprint(dump: str, settings: list[Any]) -> str | None:
    """Stands for a dump and all that bears on reading it; None for a pipe, which can't be read again."""
    if dump == "-":
        return None
    path = Path(dump)
    try:
        files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
        told = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    except OSError as error:
        raise InvalidRequest(f"can't read the dump {dump!a}: {error.strerror}") from None
    return hashlib.sha256(json.dumps([told, settings]).encode()).hexdigest()


def _content(file: str | None) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


def _suggest(folder: Path, unmapped: dict[str, Any]) -> list[Path]:
    """CSV files in the form of the maps, ready to be corrected and joined to them. Names are guesses: look at each."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for file, header, key, guess in (
        ("dn_map.suggested.csv", ("dn", "username", "files", "bytes"), "users", "guess"),
        ("group_map.suggested.csv", ("fqan", "group", "files", "bytes"), "groups", "guess"),
        ("se_map.suggested.csv", ("host", "se_name", "replicas", "bytes"), "hosts", "guess"),
    ):
        path = folder / file
        with open(path, "w", newline="", encoding="utf-8") as out:
            rows = csv.writer(out)
            rows.writerow(header)
            for item in unmapped.get(key, []):
                name = item.get(header[0])
                if name:
                    rows.writerow([name, item.get(guess) or "", item.get(header[2], 0), item.get("bytes", 0)])
        written.append(path)
    return written


class _progress:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}"),
            TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal, transient=True,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def told(self, what: str, done: int, total: int | None) -> None:
        """`done` of `total` (None: nobody knows) of `what`."""
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total, rate="")
        task = self._bars.tasks[self._tasks[what]]
        self._bars.update(
            self._tasks[what], completed=done, total=total, rate=f"{task.speed:,.0f}/s" if task.speed else ""
        )
