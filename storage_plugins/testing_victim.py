"""A writer to be killed: `python -m storage_plugins.testing_victim TYPE OPTIONS-AS-JSON PFN`. Prints a line half way,
then waits."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from . import registry
from .chunks import BATCH

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .base import Chunk


async def _endless() -> AsyncGenerator[Chunk, None]:
    for _ in range(4):
        yield bytes(BATCH)
    print("half", flush=True)
    await asyncio.sleep(3600)


async def main(kind: str, options: str, pfn: str) -> None:
    element = registry.open(kind, json.loads(options), name="victim")
    await element.write(pfn, _endless(), overwrite=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
