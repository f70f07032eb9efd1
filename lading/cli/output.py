"""What commands print: tables on a terminal, JSON lines in a pipe, errors on stderr, one exit code for it all."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from ..model.errors import BY_CODE, CatalogError, Fault
from ..model.lfn import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console

    from ..model.outcome import Outcome

ROWS = 1000  # a longer table is printed in pieces of this many rows
_READABLE = 12  # characters that a folded column has at least, where that can be
_FILE_WIDTH = 1000
_C1 = {c: f"\\u{c:04x}" for c in range(0x7F, 0xA0)}  # what terminals obey and JSON need not escape


class Output:
    """`json` None decides by what stdout is. Keeps count of what went well and what did not."""

    def __init__(self, json: bool | None = None) -> None:
        self.json = not sys.stdout.isatty() if json is None else json
        self.done = 0
        self.failures = 0
        self._codes: set[int] = set()
        self._headers: tuple[str, ...] = ()
        self._rows: list[tuple[str, ...]] = []

    def table(self, *headers: str) -> None:
        """The columns of the rows to come, on a terminal. A header that starts with `>` is aligned to the right."""
        self.flush()
        self._headers = headers

    def row(self, value: Any, *cells: object) -> None:
        """One result: `value` as JSON, or `cells` on a terminal."""
        self.done += 1
        if self.json:
            self.raw(encoded(value))
        else:
            self._rows.append(tuple("" if c is None else shown(str(c), 5000) for c in cells))
            if len(self._rows) >= ROWS:
                self.flush()

    def text(self, value: Any, line: str) -> None:
        """One result that is a sentence on a terminal."""
        self.done += 1
        if self.json:
            self.raw(encoded(value))
        else:
            self.flush()
            self.raw(shown(line, 100_000))

    def outcomes(self, outcomes: Iterable[Outcome[Any]], show: Callable[[Outcome[Any]], None]) -> None:
        """`show` those that went well, tell of the others."""
        for outcome in outcomes:
            if outcome.error is None:
                show(outcome)
            else:
                self.failed(outcome.item, outcome.error)

    def changes(self, outcomes: Iterable[Outcome[Any]], verb: str, *, dry_run: bool = False) -> None:
        """Outcomes of a mutation: `verb` is what was done to each item."""

        def show(outcome: Outcome[Any]) -> None:
            told: dict[str, Any] = {"item": outcome.item, "changed": outcome.changed}
            if isinstance(outcome.value, msgspec.Struct):
                told |= full(outcome.value)
            elif outcome.value is not None:
                told["value"] = outcome.value
            if dry_run:
                told["dry_run"] = True
            did = verb if outcome.changed else "unchanged"
            self.text(told, f"{'would be ' if dry_run and outcome.changed else ''}{did}: {outcome.item}")

        self.outcomes(outcomes, show)

    def failed(self, item: str, fault: Fault, **where: object) -> None:
        """An item that went wrong: a line on stderr, and an object with `error` among JSON results."""
        self.failures += 1
        self._codes.add(BY_CODE.get(fault.code, CatalogError).exit_code)
        place = "".join(f"{k} {v}: " for k, v in where.items())
        about = "" if shown(item) in shown(fault.message, 5000) or not item else f"'{shown(item)}': "
        complain(f"{place}{about}{fault.message}", fault)
        if self.json:
            self.raw(encoded({"item": item, **where, "error": full(fault)}))

    def raw(self, line: str) -> None:
        sys.stdout.write(line + "\n")

    def flush(self) -> None:
        """Print the rows that wait."""
        rows, self._rows = self._rows, []
        if rows and not self.json:
            from rich.table import Table
            from rich.text import Text

            screen = console()
            table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(self._headers))
            whole = unfolded([self._headers, *rows], screen.width)
            for n, header in enumerate(self._headers):
                right = header.startswith(">")
                table.add_column(
                    header.lstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=n in whole
                )
            for cells in rows:
                table.add_row(*map(Text, cells))
            screen.print(table)

    def finish(self) -> int:
        """Print what waits. 0 when all went well, the code of the error when all failed alike, else 1."""
        self.flush()
        sys.stdout.flush()
        if not self.failures:
            return 0
        return self._codes.pop() if not self.done and len(self._codes) == 1 else 1


def facts(out: Output, value: Any, told: dict[str, Any]) -> None:
    """One thing: `value` as JSON, `told` as a line for each fact on a terminal; what is empty is left out."""
    if out.json:
        out.row(value)
        return
    out.table("", "")
    for key, fact in told.items():
        if fact not in (None, "", [], {}):
            text = ", ".join(map(str, fact)) if isinstance(fact, list) else fact
            text = ", ".join(f"{k}={v}" for k, v in text.items()) if isinstance(text, dict) else text
            out.row(None, key, text)
            out.done -= 1
    out.done += 1
    out.flush()


def unfolded(rows: Sequence[Sequence[str]], width: int) -> set[int]:
    """The columns that can keep each cell on one line, narrow ones first: names, states and times rather than URLs.

    What is left for the others is enough to be read; where it is not, they fold like all.
    """
    from rich.cells import cell_len

    needs = {n: max(map(cell_len, column)) for n, column in enumerate(zip(*rows, strict=True))}
    left = width - 2 * len(needs)
    whole: set[int] = set()
    for n, need in sorted(needs.items(), key=lambda item: item[1]):
        others = len(needs) - len(whole) - 1
        if left - need < _READABLE * others:
            break
        left -= need
        whole.add(n)
    return whole


def console() -> Console:
    from rich.console import Console

    # A file has no width: nothing is folded there.
    return Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)


def complain(message: str, fault: Fault | None = None) -> None:
    """One line on stderr, fit for any terminal."""
    if fault is not None and fault.retryable:
        message += " (it may work when tried again)"
    print(f"lading: {shown(message, 5000)}", file=sys.stderr)


def encoded(value: Any) -> str:
    return msgspec.json.encode(full(value)).decode().translate(_C1)


def full(value: Any) -> Any:
    """`value` with every field of every struct: a reader of JSON need not know the defaults that the wire leaves
    out."""
    if isinstance(value, msgspec.Struct):
        return {f: full(getattr(value, f)) for f in value.__struct_fields__}
    if isinstance(value, dict):
        return {k: full(v) for k, v in value.items()}
    if isinstance(value, list):
        return [full(v) for v in value]
    return value.value if isinstance(value, Enum) else value


def size(count: int | None) -> str:
    """Bytes for people: `1.5 GiB`."""
    if count is None:
        return "?"
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if amount < 1024 or unit == "PiB":
            break
        amount /= 1024
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def moment(microseconds: int | None) -> str:
    """`2026-11-24 03:12:09` in UTC; empty for no time."""
    if not microseconds:
        return ""
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "?"


def silence() -> None:
    """After the reader of stdout has gone: nothing more is printed, nor complained about at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
