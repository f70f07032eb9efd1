"""`python -m bench`: load a catalogue, measure it beside the raw limits, print the table as Markdown.

The catalogue is measured with 100,000 files and again with all of them, so that the table tells how each figure grows.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import uvloop

from . import bytes, disk, host, imports, listing, register, resolve, single, tree, world
from .report import Figure, Stage, markdown

# In this order: what writes comes last, so that the others find the catalogue as it was loaded.
FIGURES: dict[str, Callable[[world.World], Awaitable[list[Figure]]]] = {
    "disk": disk.measure,
    "resolve": resolve.measure,
    "single": single.measure,
    "list": listing.measure,
    "rename": tree.measure,
    "register": register.measure,
    "bytes": bytes.measure,
    "import": imports.measure,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--files", type=int, default=1_000_000, help="files to load: 100000 to 10000000")
    parser.add_argument("--only", default="", help=f"figures to take, with commas between: {','.join(FIGURES)}")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--data", type=Path, help="a folder to keep the catalogue in, and to find it in the next time")
    parser.add_argument("--no-growth", action="store_true", help="leave out the stage with 100,000 files")
    given = parser.parse_args()
    given.only = given.only.split(",") if given.only else list(FIGURES)
    if unknown := set(given.only) - set(FIGURES):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    if not 100_000 <= given.files <= 10_000_000:
        parser.error("--files takes 100000 to 10000000")
    return given


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _run(given: argparse.Namespace, data: Path) -> list[Stage]:
    stages = []
    server = await host.run(data)
    try:
        place = await world.settle(server)
        first = [] if given.no_growth or place.files > 100_000 else [100_000]
        for files in dict.fromkeys([*first, given.files]):
            speed = await world.load(place, files)
            _say(f"{place.files:,} files loaded" + (f" at {speed:,.0f} files/s" if speed else " before"))
            figures: list[Figure] = []
            for name, measure in FIGURES.items():
                if name in given.only:
                    _say(f"  {name} ...")
                    figures += await measure(place)
            stages.append(Stage(place.files, figures))
            _say(markdown(stages[-1:]))
    finally:
        await server.stop()
    return stages


def main() -> None:
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended as by Ctrl-C: what was started is stopped
    if given.data:
        data = given.data.resolve()
        data.mkdir(parents=True, exist_ok=True)
    else:
        data = Path(tempfile.mkdtemp(prefix="lading-bench-", dir="/var/tmp"))  # a disk, where /tmp may be memory
        data.chmod(0o755)  # as root the database runs as another user, who must get in
    try:
        stages = uvloop.run(_run(given, data))
    finally:
        if not given.data:
            shutil.rmtree(data, ignore_errors=True)
    print(markdown(stages))
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(stages)))


if __name__ == "__main__":
    main()
