"""Whether this process lives, can serve, and what it has done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from lading.model.errors import Unavailable
from migrations.schema import runner

from .routes import Call, Route

if TYPE_CHECKING:
    from .metrics import Metrics


async def alive(call: Call) -> web.Response:
    """200 as long as the process answers at all, whatever state the database is in."""
    return web.Response(text="ok\n")


async def ready(call: Call) -> web.Response:
    """200 when requests can be served: the database answers and has the schema of this program. 503 otherwise."""
    async with call.services.database.read() as connection:
        found = await runner.version(connection)  # type: ignore[arg-type]  # a pooled connection does as well
    wanted = runner.files()[-1][0]
    if found != wanted:
        raise Unavailable(
            f"the database has schema {found} and this program needs {wanted}: run 'lading-server db migrate'"
        )
    return web.Response(text="ready\n")


def routes(metrics: Metrics) -> list[Route]:
    async def exposition(call: Call) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return [
        Route("GET", "/healthz", alive, "open", "Is the process alive?", gives="text/plain", tag="Server"),
        Route("GET", "/readyz", ready, "open", "Can it serve?", gives="text/plain", tag="Server"),
        Route(
            "GET",
            "/metrics",
            exposition,
            "open",
            "Prometheus metrics of this process",
            gives="text/plain",
            tag="Server",
        ),
    ]
