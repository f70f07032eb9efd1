"""What the commands of the benchmark share: options, the folder that the catalogue is in, the table at the end."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from .report import Stage, markdown


def parser(prog: str, told: str | None, figures: Iterable[str], files: int) -> argparse.ArgumentParser:
    """`told` is the docstring of the command: its second paragraph is shown."""
    made = argparse.ArgumentParser(prog=prog, description=(told or "").partition("\n\n")[2])
    made.add_argument("--files", type=int, default=files, help=f"files to load (default {files:,})")
    made.add_argument("--only", default="", help=f"figures to take, with commas between: {','.join(figures)}")
    made.add_argument("--json", type=Path, help="write the figures to this file too")
    made.add_argument("--data", type=Path, help="a folder to keep the catalogue in, and to find it in the next time")
    return made


def parse(made: argparse.ArgumentParser, figures: Iterable[str]) -> argparse.Namespace:
    given = made.parse_args()
    given.only = given.only.split(",") if given.only else list(figures)
    if unknown := set(given.only) - set(figures):
        made.error(f"no such figure: {', '.join(sorted(unknown))}")
    return given


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(
    given: argparse.Namespace, work: Callable[[argparse.Namespace, Path], Coroutine[Any, Any, list[Stage]]]
) -> None:
    """Have the work done on the folder, on one that is thrown away when none is given, and print its table."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended as by Ctrl-C: what was started is stopped
    if given.data:
        data = given.data.resolve()
        data.mkdir(parents=True, exist_ok=True)
    else:
        data = Path(tempfile.mkdtemp(prefix="lading-bench-", dir="/var/tmp"))  # a disk, where /tmp may be memory
        data.chmod(0o755)  # as root the database runs as another user, who must get in
    try:
        stages = uvloop.run(work(given, data))
    finally:
        if not given.data:
            shutil.rmtree(data, ignore_errors=True)
    print(markdown(stages))
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(stages)))
