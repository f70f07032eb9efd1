"""A server that means harm: the command line writes nowhere but where it was told to, and prints nothing that a terminal obeys."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from tests.cli.support import lading

SERVED: dict[str, object] = {}


@pytest_asyncio.fixture
async def evil() -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        answer = SERVED.get(request.path, {})
        if callable(answer):
            answer = answer(await request.json() if request.can_read_body else dict(request.query))
        return answer if isinstance(answer, web.Response) else web.json_response(answer)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
    SERVED.clear()


def stat(body: dict[str, list[str]]) -> object:
    return {"outcomes": [{"item": n, "value": {"lfn": "/ab", "kind": "directory"}} for n in body["lfns"]]}


@pytest.mark.parametrize("name", ["/abc/etc", "/ab/../x", "/ab//x", "/etc", "relative", "/ab/.."])
async def test_listings_cannot_lead_out_of_the_target(evil: str, tmp_path: Path, name: str) -> None:
    outside, target = tmp_path / "etc", tmp_path / "target"
    target.mkdir()
    SERVED["/v1/stat"] = stat
    SERVED["/v1/list"] = lambda q: {
        "items": [{"lfn": name, "kind": "directory"}] if q["lfn"] == "/ab" else [{"lfn": f"{q['lfn']}/passwd"}]
    }
    SERVED["/v1/replicas/resolve"] = lambda b: {"outcomes": [{"item": n, "value": {"sources": []}} for n in b["lfns"]]}
    done = await lading(None, "get", "-r", "/ab", str(target / "in"), LADING_URL=evil, LADING_TOKEN="t")
    assert done.code not in (0, None)
    assert not outside.exists()
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == []
    assert {p.name for p in tmp_path.iterdir()} <= {"target", "config"}


async def test_messages_are_defused(evil: str) -> None:
    problem = {"code": "forbidden", "detail": "no\x1b]0;owned\x07\n\x9b31mred\u202e", "details": {}}
    SERVED["/v1/me"] = web.json_response(problem, status=403)
    done = await lading(None, "whoami", LADING_URL=evil, LADING_TOKEN="t")
    assert done.code == 4
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(done.err)
    assert len(done.err.splitlines()) == 1


async def test_values_are_defused_in_json_too(evil: str) -> None:
    SERVED["/v1/me"] = {"user": "a\x1b[31m\x9b31m"}
    done = await lading(None, "whoami", LADING_URL=evil, LADING_TOKEN="t")
    assert json.loads(done.text)["user"] == "a\x1b[31m\x9b31m"
    assert not {"\x1b", "\x9b"} & set(done.text)


@pytest.mark.parametrize("answer", [[], {"outcomes": []}, {"outcomes": [{}]}, {"outcomes": 3}, "x", {}])
async def test_answers_that_make_no_sense(evil: str, answer: object) -> None:
    SERVED["/v1/stat"] = lambda _: web.json_response(answer)
    done = await lading(None, "stat", "/x", LADING_URL=evil, LADING_TOKEN="t")
    assert done.code == 1
    assert done.err.startswith("lading: ")
