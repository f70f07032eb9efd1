"""The report of an import as tables for people. All text of the source arrives escaped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from migrations.legacy.anomalies import Anomaly

_SHOWN = 12


def show(console: Console, report: dict[str, Any]) -> None:
    """What was read and what became of it, what was odd, what no map knew, and the totals."""
    source = report["source"]
    what = "dry run, nothing written" if report["dry_run"] else "imported"
    title = f"{source['kind'].upper()} {source.get('schema') or ''}: {what}"
    console.print(_table(title, ("table", "read", "imported", "skipped", "quarantined"), (
        (name, t["read"], t["imported"], t["skipped"], t["quarantined"]) for name, t in report["tables"].items()
    )))  # fmt: skip
    found = sorted((a for a in report["anomalies"].items() if a[1]["count"]), key=lambda a: -a[1]["count"])
    console.print(_table("Found on the way", ("code", "rows", "action", "what it is", "for example"), (
        (code, a["count"], a["action"], a["what"], _example(a)) for code, a in found
    )))  # fmt: skip
    elements = sorted(report["elements"].items(), key=lambda e: -e[1]["replicas"])
    console.print(_table("Elements", ("element", "replicas", "bytes", ""), (
        (name, e["replicas"], e["bytes"], "not in the map: placeholder, off" if e["placeholder"] else "")
        for name, e in elements[:_SHOWN]
    )))  # fmt: skip
    if len(elements) > _SHOWN:
        console.print(f"  and {len(elements) - _SHOWN} more elements: see the JSON report")
    unmapped = {k: len(v) for k, v in report["unmapped"].items()}
    if any(unmapped.values()):
        told = ", ".join(f"{n} {k}" for k, n in unmapped.items() if n)
        console.print(
            f"Not in the maps: {told}. They have placeholders; --suggest-maps DIR writes them down with guesses."
        )
    for warning in source.get("warnings", []):
        console.print(f"[yellow]warning[/] {escape(warning)}")
    done, timing = report["imported"], report["timing"]
    console.print(
        f"[bold]{done['directories']:,} directories, {done['files']:,} files, {done['links']:,} links,"
        f" {done['replicas']:,} replicas, {done['bytes']:,} bytes[/] from {timing['rows']:,} rows"
        f" in {timing['total_seconds']:.1f} s ({timing['rows_per_second']:,.0f} rows/s)"
    )
    written = report.get("written")
    if written:
        news = ", ".join(f"{n:,} {k}" for k, n in written.items() if k != "late")
        console.print(
            f"New in the catalogue: {news}" + ("" if any(written.values()) else " (all of it was there already)")
        )


def show_policies(console: Console, anomalies: Iterable[Anomaly]) -> None:
    console.print(_table("Policies", ("code", "default", "may be", "what it is"), (
        (a.code, a.default, ", ".join(a.allowed), a.what) for a in anomalies
    )))  # fmt: skip


def _example(anomaly: dict[str, Any]) -> str:
    examples = anomaly["examples"]
    return f"{examples[0]['id']}: {str(examples[0].get('value') or '')[:40]}" if examples else ""


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in columns:
        number = name in ("read", "imported", "skipped", "quarantined", "rows", "replicas", "bytes")
        table.add_column(
            name, justify="right" if number else "left", overflow="fold", no_wrap=name in ("code", "action")
        )
    for row in rows:
        table.add_row(*(f"{v:,}" if isinstance(v, int) else escape(str(v)) for v in row))
    return table
