"""The document is valid OpenAPI 3.1, tells all the routes, and the page shows it."""

from __future__ import annotations

import re

from openapi_spec_validator import OpenAPIV31SpecValidator

from doors.config import Config
from doors.http import openapi
from doors.http.routes import Call, Route
from lading.model.api import Names, Register
from lading.model.file import Entry, Registered
from lading.model.outcome import Outcomes
from tests.doors.test_requests import Find
from tests.server import Server


async def _handler(call: Call) -> None:
    """What `it` does <b>."""


ROUTES = [
    Route(
        "POST",
        "/v1/files/register",
        _handler,
        "user",
        "Register",
        body=Register,
        answer=Outcomes[Registered],
        tag="Files",
    ),
    Route(
        "POST",
        "/v1/stat",
        _handler,
        "user",
        "Stat",
        body=Names,
        answer=Outcomes[Entry],
        changes=False,
        example={"lfns": ["/a"]},
    ),
    Route("GET", "/v1/data/{lfn:.+}", _handler, "user", "Get", query=Find, gives="application/octet-stream"),
    Route(
        "PUT", "/v1/data/{lfn:.+}", _handler, "user", "Put", takes="application/octet-stream", answer=Entry, status=201
    ),
    Route("DELETE", "/v1/tokens/{id}", _handler, "admin", "Withdraw", status=204),
]


def test_a_table_makes_a_valid_document() -> None:
    document = openapi.document(ROUTES, Config())
    OpenAPIV31SpecValidator(document).validate()
    data = document["paths"]["/v1/data/{lfn}"]
    assert set(data) == {"get", "head", "put"}
    assert [p["name"] for p in data["get"]["parameters"]] == ["lfn", "name", "limit", "verbose", "tags"]
    assert [p["name"] for p in data["put"]["parameters"]] == ["lfn", "Idempotency-Key"]
    assert set(document["paths"]["/v1/tokens/{id}"]["delete"]["responses"]) == {
        "204",
        "400",
        "401",
        "403",
        "503",
        "default",
    }
    stat = document["paths"]["/v1/stat"]["post"]
    assert stat["requestBody"]["content"]["application/json"]["example"] == {"lfns": ["/a"]}
    assert stat["parameters"] == []
    ids = [o["operationId"] for at in document["paths"].values() for o in at.values()]
    assert len(ids) == len(set(ids))


async def test_the_server_shows_its_document_and_its_page(server: Server) -> None:
    status, document = await server.call("GET", "/v1/openapi.json")
    assert status == 200
    OpenAPIV31SpecValidator(document).validate()
    assert {"/healthz", "/readyz", "/metrics", "/docs", "/v1/openapi.json"} <= set(document["paths"])
    async with server.http.get(server.url + "/docs") as response:
        page = await response.text()
        assert response.content_type == "text/html"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    for path in document["paths"]:
        assert path in page
    assert not re.search(r"<script|src=|href=\"http", page)
    anchors = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= anchors
