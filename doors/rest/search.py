"""Searches: find, count, facets, explain."""

from __future__ import annotations

from typing import Any

import msgspec

from doors.http import stream
from doors.http.routes import Answer, Call, Route
from lading.model.errors import InvalidRequest
from lading.model.outcome import Page
from lading.model.search import Count, Explained, FacetAnswer, Facets, Find, Question

_PAGE = 10_000


async def find(call: Call[Find]) -> Any:
    search = call.services.search
    if stream.wanted(call):
        return await stream.stream(call, search.stream(call.caller, call.body))
    if (call.body.limit or 0) > _PAGE:
        raise InvalidRequest(f"a page has at most {_PAGE} results: ask for less, or for {stream.MEDIA_TYPE}")
    return Answer(msgspec.Raw(await search.page(call.caller, call.body)))


async def count(call: Call[Question]) -> Count:
    return await call.services.search.count(call.caller, call.body)


async def facets(call: Call[Facets]) -> FacetAnswer:
    return await call.services.facets.facets(call.caller, call.body)


async def explain(call: Call[Question]) -> Explained:
    return await call.services.search.explain(call.caller, call.body)


ROUTES = [
    Route(
        "POST", "/v1/find", find, "user", "Find files or directories by a query", body=Find, answer=Page[dict[str, Any]],
        changes=False, gives=stream.MEDIA_TYPE, tag="Search",
        description="A page of objects with `lfn` and the selected fields; with `Accept: application/x-ndjson` all results (or "
        "`limit` of them), one a line. Only what the caller may read is found.",
    ),
    Route("POST", "/v1/find/count", count, "user", "Count what a query finds", body=Question, answer=Count, changes=False, tag="Search"),
    Route("POST", "/v1/find/facets", facets, "user", "The fields and values among what a query finds", body=Facets, answer=FacetAnswer, changes=False, tag="Search"),
    Route("POST", "/v1/find/explain", explain, "user", "How a query is answered, and which index is missing", body=Question, answer=Explained, changes=False, tag="Search"),
]  # fmt: skip
