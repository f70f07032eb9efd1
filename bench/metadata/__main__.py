"""`python -m bench.metadata`: searches by metadata, and its values, as a table in Markdown.

Everything is asked over HTTP as an ordinary user, who may not read a tenth of the files; searches stand beside SQL that
is written by hand for the same answer.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path

from .. import cli, host
from ..report import Figure, Stage, markdown
from ..world import World
from . import answers, queries, values, world
from .check import check
from .load import load, warm

# In this order: what writes comes last.
FIGURES: dict[str, Callable[[World], Awaitable[list[Figure]]]] = {
    "queries": queries.measure,
    "stream": answers.stream,
    "count": answers.counts,
    "facets": answers.facets,
    "values": values.measure,
}


def _arguments() -> argparse.Namespace:
    parser = cli.parser("python -m bench.metadata", __doc__, FIGURES, 5_000_000)
    given = cli.parse(parser, FIGURES)
    if given.files < world.STEP or given.files % world.STEP:
        parser.error(f"--files takes a multiple of {world.STEP}")
    return given


async def _run(given: argparse.Namespace, data: Path) -> list[Stage]:
    server = await host.run(data)
    try:
        place = await world.settle(server, given.files)
        speed = await load(place, given.files)
        cli.say(f"{place.files:,} files loaded" + (f" at {speed:,.0f} files/s" if speed else " before"))
        await check(place)
        await warm(place)
        figures: list[Figure] = []
        for name in given.only:
            cli.say(f"  {name} ...")
            figures += await FIGURES[name](place)
            cli.say(markdown([Stage(place.files, figures)]))
    finally:
        await server.stop()
    return [Stage(place.files, figures)]


if __name__ == "__main__":
    cli.run(_arguments(), _run)
