"""The OpenAPI 3.1 document of a route table, and the two addresses that show it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

import lading

from .page import page
from .problems import MEDIA_TYPE as PROBLEM
from .problems import STATUS, Problem
from .routes import Call, Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from doors.config import Config

_PARAM = re.compile(r"\{(\w+)(?::[^{}]*)?\}")
_REF = "#/components/schemas/{name}"
_HEADERS = {
    "X-Request-Id": "Names the request in the server's log; what you send is echoed.",
    "Retry-After": "Seconds to wait before trying again.",
}


def document(routes: Sequence[Route], config: Config) -> dict[str, Any]:
    """The document as JSON-able values."""
    types = [t for r in routes for t in (r.body, r.answer) if t is not None]
    schemas, components = msgspec.json.schema_components([*types, Problem], ref_template=_REF)
    for route in routes:
        components |= _query(route)[1]
    named = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        body = next(named) if route.body is not None else None
        answer = next(named) if route.answer is not None else None
        operation = _operation(route, body, answer)
        at = paths.setdefault(_PARAM.sub(r"{\1}", route.path), {})
        at[route.method.lower()] = operation
        if route.method == "GET":
            at["head"] = _head(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": config.name,
            "version": getattr(lading, "__version__", "0"),
            "summary": "A catalogue of scientific files and their replicas, that also moves the bytes.",
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": config.public_url or "/"}],
        "security": [{"token": []}, {"basic": []}],
        "tags": [{"name": t} for t in dict.fromkeys(r.tag for r in routes if r.tag)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token from `lading token add`."},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Any user name, the token as the password.",
                },
            },
            "headers": {k: {"description": d, "schema": {"type": "string"}} for k, d in _HEADERS.items()},
            "responses": {"Problem": _problem("What went wrong (RFC 9457); `code` is for programs.")},
        },
    }


def _operation(route: Route, body: Any, answer: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "description": route.description or (route.handler.__doc__ or "").strip(),
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route, answer),
    }
    if route.tag:
        operation["tags"] = [route.tag]
    if route.permission == "open":
        operation["security"] = []
    if body is not None:
        content = {"schema": body} | ({"example": route.example} if route.example is not None else {})
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    elif route.takes:
        operation["requestBody"] = {
            "required": True,
            "content": {route.takes: {"schema": {"type": "string", "format": "binary"}}},
        }
    return operation


def _responses(route: Route, answer: Any) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if answer is not None:
        content["application/json"] = {"schema": answer}
    if route.gives:
        content[route.gives] = {"schema": {"type": "string"}}
    good: dict[str, Any] = {"description": "Done." if route.writes else "The answer."}
    if content:
        good["content"] = content
    good["headers"] = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    failures = {503} | ({400} if route.body or route.query or "{" in route.path else set())
    if route.permission != "open":
        failures |= {401, 403}
    if route.body:
        failures |= {413, 415}
    out = {str(status): good for status in sorted({route.status, *route.also})}
    for status in sorted(failures):
        problem = _problem(_WHY[status])
        if status == 503:
            problem["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
        out[str(status)] = problem
    out["default"] = {"$ref": "#/components/responses/Problem"}
    return out


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


_WHY = {
    400: "The request is wrong: `details.path` names the place.",
    401: "No token, or one that is not good.",
    403: "Who you are may not do this.",
    413: "More items or bytes than one call takes.",
    415: "The body is not `application/json`.",
    503: "The database or a storage element is away: try again.",
}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": n, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for n in _PARAM.findall(route.path)
    ]


def _query(route: Route) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the schema of the parameters, those that it refers to)"""
    if route.query is None:
        return {"properties": {}}, {}
    components = msgspec.json.schema_components([route.query], ref_template=_REF)[1]
    return components.pop(route.query.__name__), components


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    schema = _query(route)[0]
    needed = schema.get("required", [])
    return [
        {"name": n, "in": "query", "required": n in needed, "schema": s}
        | ({"description": s["description"]} if "description" in s else {})
        for n, s in schema["properties"].items()
    ]


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    if not route.writes:
        return []
    words = "Under one key the call takes effect once: sent again, it answers what it answered."
    schema = {"type": "string", "pattern": "^[!-~]{1,255}$"}
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "description": words, "schema": schema}]


def _name(route: Route) -> str:
    words = re.findall(r"\w+", _PARAM.sub("", route.path).removeprefix("/v1"))
    by = "_by_" + "_".join(_PARAM.findall(route.path)) if "{" in route.path else ""
    return "_".join([route.method.lower(), *words]) + by


def _head(operation: dict[str, Any]) -> dict[str, Any]:
    responses = {k: {n: v for n, v in r.items() if n != "content"} for k, r in operation["responses"].items()}
    return {**operation, "operationId": "head_" + operation["operationId"].removeprefix("get_"), "responses": responses}


def routes(table: Sequence[Route], config: Config) -> list[Route]:
    """`/v1/openapi.json` and `/docs`, made once from `table` and themselves."""
    made: dict[str, bytes] = {}

    async def specification(call: Call) -> web.Response:
        return web.Response(body=made["json"], content_type="application/json")

    async def docs(call: Call) -> web.Response:
        return web.Response(body=made["html"], content_type="text/html", charset="utf-8", headers=_PAGE_HEADERS)

    own = [
        Route(
            "GET", "/v1/openapi.json", specification, "open", "This document", gives="application/json", tag="Server"
        ),
        Route("GET", "/docs", docs, "open", "This document, for people", gives="text/html", tag="Server"),
    ]
    whole = document([*table, *own], config)
    made["json"] = msgspec.json.encode(whole)
    made["html"] = page(whole, {c.code: s for c, s in STATUS.items()} | {"internal": 500}).encode()
    return own


_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

_INTRODUCTION = """\
A file has a logical name (LFN) such as `/biomed/user/a/alice/scan.nii` and replicas on storage elements.

Calls that take a list answer with one outcome per item, in its order: a bad item fails alone, and `failed` counts them.
Times are integer microseconds since the epoch (UTC). Errors are RFC 9457 problem documents. A 429 or 503 says in
`Retry-After` how long to wait. A call that writes may carry an `Idempotency-Key`; many take `dry_run`.
Lists come in pages: pass `next` as `cursor`. Unknown fields and parameters are refused."""
