"""`python -m bench`: load a catalogue, measure it beside the raw limits, print the table as Markdown.

The catalogue is measured with 100,000 files and again with all of them, so that the table tells how each figure grows.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path

from . import bytes, cli, disk, host, imports, listing, register, resolve, scan, single, tree, world
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
    "scan": scan.measure,
}


def _arguments() -> argparse.Namespace:
    parser = cli.parser("python -m bench", __doc__, FIGURES, 1_000_000)
    parser.add_argument("--no-growth", action="store_true", help="leave out the stage with 100,000 files")
    given = cli.parse(parser, FIGURES)
    if not 100_000 <= given.files <= 10_000_000:
        parser.error("--files takes 100000 to 10000000")
    return given


async def _run(given: argparse.Namespace, data: Path) -> list[Stage]:
    stages = []
    server = await host.run(data)
    try:
        place = await world.settle(server)
        first = [] if given.no_growth or place.files > 100_000 else [100_000]
        for files in dict.fromkeys([*first, given.files]):
            speed = await world.load(place, files)
            cli.say(f"{place.files:,} files loaded" + (f" at {speed:,.0f} files/s" if speed else " before"))
            figures: list[Figure] = []
            for name, measure in FIGURES.items():
                if name in given.only:
                    cli.say(f"  {name} ...")
                    figures += await measure(place)
            stages.append(Stage(place.files, figures))
            cli.say(markdown(stages[-1:]))
    finally:
        await server.stop()
    return stages


if __name__ == "__main__":
    cli.run(_arguments(), _run)
