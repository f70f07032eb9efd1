"""Storage elements, for operators."""

from __future__ import annotations

from msgspec import Struct

from doors.http.routes import Call, Route
from lading.model.element import ElementChange, ElementInfo, ElementSpec, ElementType, Link, LinkNames, Probe


class ElementsQuery(Struct, forbid_unknown_fields=True):
    """`match`: an element expression, such as `country=FR & type=disk`."""

    match: str = ""


async def every(call: Call[None, ElementsQuery]) -> list[ElementInfo]:
    return await call.services.elements.every_info(call.caller, call.query.match)


async def show(call: Call[None]) -> ElementInfo:
    return await call.services.elements.show(call.caller, call.params["name"])


async def add(call: Call[ElementSpec]) -> ElementInfo:
    return await call.services.elements.add(call.caller, call.body)


async def change(call: Call[ElementChange]) -> ElementInfo:
    return await call.services.elements.change(call.caller, call.params["name"], call.body)


async def remove(call: Call[None]) -> None:
    await call.services.elements.remove(call.caller, call.params["name"])


async def probe(call: Call[None]) -> Probe:
    return await call.services.breaker.probe(call.caller, call.params["name"])


async def links(call: Call[LinkNames]) -> list[Link]:
    return await call.services.links.links(call.caller, call.body.elements)


async def tried(call: Call[LinkNames]) -> list[Link]:
    return await call.services.links.links(call.caller, call.body.elements, trial=True)


async def types(call: Call[None]) -> list[ElementType]:
    return call.services.elements.types()


ROUTES = [
    Route("GET", "/v1/elements", every, "user", "Every storage element, with its usage", query=ElementsQuery, answer=list[ElementInfo], tag="Elements"),
    Route("POST", "/v1/elements", add, "admin", "Add a storage element", body=ElementSpec, answer=ElementInfo, status=201, tag="Elements"),
    Route("GET", "/v1/elements/{name}", show, "user", "One storage element", answer=ElementInfo, tag="Elements"),
    Route("PATCH", "/v1/elements/{name}", change, "admin", "Change a storage element", body=ElementChange, answer=ElementInfo, tag="Elements"),
    Route("DELETE", "/v1/elements/{name}", remove, "admin", "Take out a storage element that holds nothing", status=204, tag="Elements"),
    Route("POST", "/v1/elements/{name}/probe", probe, "admin", "Try a storage element now", answer=Probe, tag="Elements"),
    Route("POST", "/v1/links", links, "admin", "Which element can copy to which, and how", body=LinkNames, answer=list[Link], changes=False, tag="Elements"),
    Route("POST", "/v1/links/try", tried, "admin", "Copy a small object over each link now", body=LinkNames, answer=list[Link], tag="Elements"),
    Route("GET", "/v1/element-types", types, "user", "The installed types of storage, with their options", answer=list[ElementType], tag="Elements"),
]  # fmt: skip
