"""`lading-server import`: take over a legacy catalogue."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lading.model.errors import InvalidRequest
from migrations.legacy.anomalies import ALL, policies
from migrations.legacy.charset import CHARSETS
from migrations.legacy.dump_input import DumpInput
from migrations.legacy.importer import Import, Options, PolicyFailed
from migrations.legacy.lfc import WANTED, Lfc
from migrations.legacy.maps import load
from migrations.legacy.mysqldump import MysqlDump

from . import import_view, place
from .admin import Data, Url

import_app = typer.Typer(
    help="Take over a legacy catalogue. Exit codes: 0 imported (quarantined rows are in the report) · 1 a policy says"
    " fail"
    " · 2 wrong usage, or no such dump · 6 this source is being imported already · 8 the database is away",
    no_args_is_help=True,
)


@import_app.command("lfc")
def lfc(
    dump: Annotated[
        str, typer.Argument(metavar="DUMP", help="A mysqldump of the LFC: plain, gz, bz2, xz, or - for a pipe.")
    ],
    charset: Annotated[
        str, typer.Option(help=f"Character set of the LFC's text columns: {', '.join(CHARSETS)}.")
    ] = "latin1",
    dump_charset: Annotated[
        str | None, typer.Option(help="What the dump was written in, for dumps without SET NAMES (--compact, ansi).")
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
    source: Annotated[str, typer.Option(help="A name for this LFC, when there are several.")] = "lfc",
    data: Data = None,
    database_url: Url = None,
) -> None:
    """Import an LFC. Killed at any point and run again, or run twice, it comes to the same catalogue.

    What is rotten goes to the quarantine with its row; per table: rows read = imported + skipped + quarantined.
    """
    if charset not in CHARSETS:
        raise InvalidRequest(f"--charset {charset!a}: choose one of {', '.join(CHARSETS)}")
    actions = policies(policy or [])
    maps = load(user_map, group_map, se_map, path_rules)
    if report is not None and not report.absolute().parent.is_dir():
        raise InvalidRequest(f"--report: there is no folder {report.absolute().parent}")
    files = [user_map, group_map, se_map, path_rules]
    fingerprint = _fingerprint(
        dump, [source, charset, dump_charset or "", *sorted(policy or []), *(_content(f) for f in files)]
    )
    made = _run(
        dump, charset, dump_charset, Options(source, maps, actions, fingerprint, dry_run), data, database_url, report
    )
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
    dump: str,
    charset: str,
    client: str | None,
    options: Options,
    data: str | None,
    url: str | None,
    report: Path | None,
) -> dict[str, Any]:
    def open_source() -> Lfc:
        return Lfc(MysqlDump(DumpInput(dump), WANTED, columns=charset, client=client), latin1=charset == "latin1")

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


def _write(report: Path | None, made: dict[str, Any]) -> None:
    if report is not None:
        report.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _fingerprint(dump: str, settings: list[str]) -> str | None:
    """Stands for a dump and all that bears on reading it; None for a pipe, which can't be read again."""
    if dump == "-":
        return None
    try:
        info = Path(dump).stat()
    except OSError as error:
        raise InvalidRequest(f"can't read the dump {dump}: {error.strerror}") from None
    told = json.dumps([str(Path(dump).resolve()), info.st_size, info.st_mtime_ns, *settings])
    return hashlib.sha256(told.encode()).hexdigest()


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
