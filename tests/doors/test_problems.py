"""Every error becomes its problem document; what nobody foresaw tells the caller nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from aiohttp import web

from doors import log
from doors.config import Config
from doors.http import problems
from doors.http.routes import Call, Route
from lading.model import errors
from lading.model.errors import CatalogError
from storage_plugins.errors import Denied, NoSpace, ObjectNotFound, StorageError, Transient
from tests.doors.conftest import Opened


@pytest.fixture
def _logs() -> Iterator[None]:
    """Lets a test set up the log, and puts everything back."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def _raises(error: Exception) -> Any:
    async def handler(call: Call) -> None:
        raise error

    return handler


class _Odd(errors.NotFound):
    """Of a kind that the table doesn't list."""


CASES: list[tuple[Exception, int, str]] = [
    (errors.InvalidRequest("m"), 400, "invalid_request"),
    (errors.Unauthenticated("m"), 401, "unauthenticated"),
    (errors.Forbidden("m"), 403, "forbidden"),
    (errors.NotFound("m"), 404, "not_found"),
    (_Odd("m"), 404, "not_found"),
    (errors.Conflict("m"), 409, "conflict"),
    (errors.TooLarge("m"), 413, "too_large"),
    (errors.Throttled("m"), 429, "throttled"),
    (errors.Unavailable("m"), 503, "unavailable"),
    (errors.QuotaExceeded("m"), 507, "quota_exceeded"),
    (CatalogError("m"), 500, "error"),
    (ObjectNotFound("m"), 404, "not_found"),
    (NoSpace("m"), 507, "quota_exceeded"),
    (Denied("m"), 503, "unavailable"),
    (Transient("m"), 503, "unavailable"),
    (web.HTTPRequestRangeNotSatisfiable(text="m"), 416, "invalid_request"),
]


def test_the_table_knows_every_error_of_the_catalogue() -> None:
    assert set(problems.STATUS) == set(errors.BY_CODE.values())


async def test_errors_become_problems(opened: Opened) -> None:
    routes = [Route("GET", f"/{i}", _raises(e), "open", "x") for i, (e, _, _) in enumerate(CASES)]
    server = await opened(routes)
    for i, (error, status, code) in enumerate(CASES):
        async with server.http.get(f"{server.url}/{i}", headers={"X-Request-Id": f"r{i}"}) as response:
            problem = await response.json()
            assert response.content_type == "application/problem+json"
            assert (response.status, problem["status"], problem["code"]) == (status, status, code), error
            assert (problem["detail"], problem["request_id"], problem["type"]) == ("m", f"r{i}", f"/docs#{code}")
            retryable = isinstance(error, CatalogError | StorageError) and error.retryable
            assert problem.get("retryable", False) == retryable
            assert ("WWW-Authenticate" in response.headers) == (status == 401)
            assert ("Retry-After" in response.headers) == (status in (429, 503) and retryable)


async def test_details_travel_and_say_when_to_come_back(opened: Opened) -> None:
    server = await opened([Route("GET", "/x", _raises(errors.Throttled("m", retry_after=7, group="g")), "open", "x")])
    async with server.http.get(server.url + "/x") as response:
        assert response.headers["Retry-After"] == "7"
        assert (await response.json())["details"] == {"retry_after": 7, "group": "g"}


async def test_redirects_pass(opened: Opened) -> None:
    server = await opened([Route("GET", "/x", _raises(web.HTTPTemporaryRedirect("https://else.where/y")), "open", "x")])
    async with server.http.get(server.url + "/x", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (307, "https://else.where/y")


@pytest.mark.usefixtures("_logs")
async def test_a_bug_tells_the_caller_nothing_and_the_log_everything(
    opened: Opened, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure(Config(log_format="json"))
    server = await opened([Route("GET", "/x", _raises(RuntimeError("secret detail")), "open", "x")])
    status, problem = await server.call("GET", "/x", token="hidden")
    assert (status, problem["code"]) == (500, "internal")
    assert "secret" not in json.dumps(problem)
    line = next(x for x in capfd.readouterr().err.splitlines() if "failed" in x)
    logged = json.loads(line)
    assert logged["request_id"] == problem["request_id"]
    assert "secret detail" in logged["exception"]
    assert "hidden" not in line


@pytest.mark.usefixtures("_logs")
async def test_the_log_shows_writes_and_errors_and_all_of_it_with_debug(
    opened: Opened, capfd: pytest.CaptureFixture[str]
) -> None:
    async def fine(call: Call) -> None:
        return None

    table = [Route("GET", "/read", fine, "open", "x"), Route("POST", "/write", fine, "open", "x")]
    for level, seen in (("info", {"/write", "/none"}), ("debug", {"/read", "/write", "/none"})):
        log.configure(Config(log_format="json", log_level=level))  # type: ignore[arg-type]  # one of its words
        server = await opened(table, log_level=level)
        for method, path in (("GET", "/read"), ("POST", "/write"), ("GET", "/none")):
            await server.call(method, path)
        lines = [json.loads(x) for x in capfd.readouterr().err.splitlines() if x.startswith("{")]
        assert {x["path"] for x in lines if "path" in x} == seen


@pytest.mark.usefixtures("_logs")
def test_an_absent_database_fills_the_log_with_no_tracebacks(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure(Config(log_format="json"))
    for name in ("asyncpg.pool", "another"):
        try:
            raise ConnectionRefusedError("nobody listens")
        except ConnectionRefusedError:
            logging.getLogger(name).warning("retrying", exc_info=True)
    assert [json.loads(line)["logger"] for line in capfd.readouterr().err.splitlines()] == ["another"]
