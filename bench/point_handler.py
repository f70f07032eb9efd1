"""The raw limit of a small request: aiohttp, asyncpg, one point select, and nothing else. `python -m bench.point_handler DSN PORT`."""

from __future__ import annotations

import sys
from typing import Any

import asyncpg
import msgspec
import uvloop
from aiohttp import web

_SELECT = """select f.id, f.size, f.guid::text as guid, f.se, f.rstate
    from dir d join file f on f.dir_id = d.id where d.path = $1 and f.name = $2"""


class _Session(asyncpg.Connection):
    def get_reset_query(self) -> str:
        return ""


class _Body(msgspec.Struct):
    lfns: list[str]


def application(dsn: str) -> web.Application:
    decoder, encoder = msgspec.json.Decoder(_Body), msgspec.json.Encoder()
    pool: Any = None

    async def start(_: web.Application) -> None:
        nonlocal pool
        pool = await asyncpg.create_pool(
            dsn, min_size=1, max_size=10, max_queries=10**9, connection_class=_Session, server_settings={"jit": "off"}
        )

    async def point(request: web.Request) -> web.Response:
        path, _, name = decoder.decode(await request.read()).lfns[0].rpartition("/")
        async with pool.acquire() as connection:
            row = await connection.fetchrow(_SELECT, path, name)
        return web.Response(body=encoder.encode(dict(row)), content_type="application/json")

    app = web.Application()
    app.router.add_post("/point", point)
    app.on_startup.append(start)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(
        application(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), access_log=None, print=None, reuse_port=True
    )
