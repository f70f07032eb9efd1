"""`python -m bench.transfers`: the queue, the rules, and the bytes that workers move; the table as Markdown.

A server of its own is started, with eight POSIX elements. The queue and the rules are measured without bytes: the
server's own worker is stopped meanwhile, and four others lease and end what is queued.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

from lading import Client
from lading.model.element import ElementSpec

from .. import cli, host
from ..report import Figure, Stage
from ..timing import tree
from . import copies, queue, rules

_ELEMENTS = 8
FIGURES = ("copies", "queue", "rules")


def _arguments() -> argparse.Namespace:
    parser = cli.parser("python -m bench.transfers", __doc__, FIGURES, 1_000_000)
    parser.add_argument("--small", type=int, default=10_000, help="files of 100 kB to copy (default 10,000)")
    return cli.parse(parser, FIGURES)


async def _run(given: argparse.Namespace, data: Path) -> list[Stage]:
    figures: list[Figure] = []
    server = await host.run(data)
    try:
        async with Client(server.url, server.admin) as client:
            for n in range(_ELEMENTS):
                options = {"path": str(data / f"disk{n}"), "fsync": False}
                await client.elements.add(ElementSpec(f"disk{n}", "posix", options, max_connections=400))
            if "rules" in given.only:
                workers = _stopped(server)
                try:
                    figures += await rules.measure(server, client, given.files)
                finally:
                    _go_on(workers)
        if "copies" in given.only:
            figures += await copies.measure(server, given.small)
        if "queue" in given.only:
            workers = _stopped(server)
            try:
                figures += await queue.measure(server, given.files)
            finally:
                _go_on(workers)
    finally:
        await server.stop()
    return [Stage(given.files, figures)]


def _stopped(server: host.Host) -> list[int]:
    """The server's own workers, which hold still until `_go_on`."""
    workers = [pid for pid in tree(server.process.pid) if b"doors.child\0work" in copies._command(pid)]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    return workers


def _go_on(workers: list[int]) -> None:
    for pid in workers:
        os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    cli.run(_arguments(), _run)
