"""Retries, redirects, refusals: against small servers that fail on purpose, and a proxy before the real one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

import lading.client.retry
from lading import CatalogError, Client, Conflict, InvalidRequest, NotFound, Throttled, Unauthenticated, Unavailable
from lading.client.retry import retry_after
from lading.model.file import FileSpec
from tests.client.proxy import Proxy
from tests.server import Server

TOKEN = "s3cret-token-of-the-test"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lading.client.retry, "FIRST", 0.01)


@asynccontextmanager
async def serving(handler: Callable[[web.Request], object]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        answer = handler(request)
        assert isinstance(answer, web.StreamResponse)
        return answer

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def me() -> web.Response:
    return web.json_response({"user": "alice"})


async def test_throttling_and_faults_are_tried_again() -> None:
    answers = [web.Response(status=429), web.Response(status=503), web.Response(status=502, text="<html>"), me()]
    async with serving(lambda _: answers.pop(0)) as url, Client(url, TOKEN) as client:
        assert (await client.me()).user == "alice"
    assert not answers


async def test_retry_after_is_waited_for() -> None:
    answers = [web.Response(status=503, headers={"Retry-After": "1"}), me()]
    async with serving(lambda _: answers.pop(0)) as url, Client(url, TOKEN) as client:
        began = time.monotonic()
        await client.me()
        assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("3", 3, 3),
        ("0.5", 0.5, 0.5),
        ("-1", 0, 0),
        ("soon", 0, 0),
        (None, 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
    ],
)
def test_retry_after_forms(header: str | None, least: float, most: float) -> None:
    assert least <= retry_after(header) <= most


async def test_it_gives_up_after_the_tries() -> None:
    seen = []
    handler = lambda r: seen.append(r.path) or web.Response(status=503)  # noqa: E731  (one line says it all)
    async with serving(handler) as url, Client(url, TOKEN, tries=3) as client:
        with pytest.raises(Unavailable):
            await client.me()
    assert len(seen) == 3
    async with Client(url, TOKEN, tries=2) as client:  # nobody listens there any more
        with pytest.raises(Unavailable, match="no answer from"):
            await client.me()


async def test_what_will_not_change_is_not_tried_again() -> None:
    seen = []
    problem = {
        "code": "forbidden",
        "detail": "you may not",
        "retryable": False,
        "request_id": "r1",
        "details": {"lfn": "/x"},
    }
    handler = lambda r: seen.append(1) or web.json_response(problem, status=403)  # noqa: E731  (one line says it all)
    async with serving(handler) as url, Client(url, TOKEN) as client:
        with pytest.raises(CatalogError) as caught:
            await client.me()
    assert seen == [1]
    assert (caught.value.code, caught.value.message) == ("forbidden", "you may not")
    assert caught.value.details == {"lfn": "/x", "request_id": "r1"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, Unauthenticated),
        (404, NotFound),
        (409, Conflict),
        (429, Throttled),
        (500, CatalogError),
    ],
)
async def test_answers_of_strangers(status: int, kind: type[CatalogError]) -> None:
    handler = lambda _: web.Response(status=status, text="<html>\x1b[31m")  # noqa: E731  (one line says it all)
    async with serving(handler) as url, Client(url, TOKEN, tries=1) as client:
        with pytest.raises(kind) as caught:
            await client.me()
    assert type(caught.value) is kind
    assert TOKEN not in str(caught.value) + repr(caught.value)


async def test_details_that_clash_with_arguments_do_no_harm() -> None:
    problem = {"code": "not_found", "detail": "gone", "details": {"message": "x", "self": "y"}}
    async with serving(lambda _: web.json_response(problem, status=404)) as url, Client(url, TOKEN) as client:
        with pytest.raises(NotFound, match="gone"):
            await client.me()


async def test_an_answer_that_is_not_ladings() -> None:
    async with serving(lambda _: web.Response(text="<html>welcome</html>")) as url, Client(url, TOKEN) as client:
        with pytest.raises(CatalogError, match="check the address"):
            await client.me()


async def test_the_token_is_not_sent_to_another_host() -> None:
    got: list[dict[str, str]] = []

    def elsewhere(request: web.Request) -> web.Response:
        got.append(dict(request.headers))
        return web.Response(body=b"bytes")

    async with serving(elsewhere) as other:
        location = {"Location": f"{other}/bucket/a%20b?sig=%2Fx"}
        async with (
            serving(lambda _: web.Response(status=307, headers=location)) as url,
            Client(url, TOKEN, tries=1) as client,
        ):
            assert await client.read("/vo/a b") == b"bytes"
            with pytest.raises(InvalidRequest, match="log in there"):
                await client.me()
            with pytest.raises(InvalidRequest, match="log in there"):
                await client.stat(["/x"])
    assert len(got) == 1
    assert TOKEN not in str(got)


async def test_a_redirect_on_the_same_host_is_followed_with_the_token() -> None:
    def handle(request: web.Request) -> web.Response:
        if request.path == "/v1/me":
            return web.Response(status=308, headers={"Location": "/v2/me"})
        return web.json_response({"user": request.headers["Authorization"]})

    async with serving(handle) as url, Client(url, TOKEN) as client:
        assert (await client.me()).user == f"Bearer {TOKEN}"


@pytest.mark.parametrize("location", ["/v1/me", "file:///etc/passwd", "gopher://x", "", "http://"])
async def test_redirects_that_lead_nowhere(location: str) -> None:
    answer = {"status": 302, "headers": {"Location": location}}
    async with serving(lambda _: web.Response(**answer)) as url, Client(url, TOKEN, tries=1) as client:
        with pytest.raises(CatalogError):
            await client.read("/x")
        with pytest.raises(CatalogError):
            await client.me()


async def test_a_lost_answer_does_not_do_it_twice(server: Server, proxy: Proxy) -> None:
    """The connection breaks after the server did the work: the retry carries the same key, and gets the first answer."""
    lost = iter([("lose",)])
    proxy.fault = lambda request, _: next(lost, None) if request.path == "/v1/move" else None
    async with Client(proxy.url, server.token) as client:
        await client.register([FileSpec("/vo/a", 1)])
        outcome = (await client.move([("/vo/a", "/vo/b")]))[0]
        assert outcome.error is None  # a second move would find nothing at /vo/a
        assert [o.value for o in await client.exists(["/vo/a", "/vo/b"])] == [False, True]
    keys = [headers["Idempotency-Key"] for _, path, headers in proxy.seen if path == "/v1/move"]
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_using_it_closed_is_told() -> None:
    client = Client("http://127.0.0.1:1", TOKEN)
    with pytest.raises(RuntimeError, match="async with"):
        await client.me()


async def test_text_that_no_json_can_hold(server: Server) -> None:
    async with Client(server.url, server.token) as client:
        await client.make_directories(["/vo/d"])
        found = await client.stat(["/vo/\udcff", "/vo/d", "\udcff"])
        assert [o.error.code if o.error else o.value.lfn for o in found] == [
            "invalid_request",
            "/vo/d",
            "invalid_request",
        ]
        assert found[0].item == "/vo/\\udcff"
        with pytest.raises(InvalidRequest, match="UTF-8"):
            await client.trash.restore([1], to="/\udcff")
        with pytest.raises(InvalidRequest, match="UTF-8"):
            await client.entry("/\udcff")
        with pytest.raises(InvalidRequest, match="UTF-8"):
            _ = [entry async for entry in client.list("/\udcff")]
        for lfn in ("/\udcff", "relative", "/../etc", "/a\n"):
            with pytest.raises(InvalidRequest):
                await client.read(lfn)
            with pytest.raises(InvalidRequest):
                await client.write(lfn, b"1")
