"""What a route table must be, before a server starts on it."""

from __future__ import annotations

from typing import Any

import pytest

from doors.http.routes import Call, Route, check


async def _handler(call: Call) -> None:
    """Nothing."""


def _route(**changes: Any) -> Route:
    given = {"method": "GET", "path": "/x", "handler": _handler, "permission": "user", "summary": "x", **changes}
    return Route(**given)


def test_a_good_table_passes() -> None:
    check([_route(), _route(method="POST"), _route(path="/y", permission="open")])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"permission": ""}, "permission"),
        ({"permission": None}, "permission"),
        ({"permission": "everybody"}, "permission"),
        ({"method": "HEAD"}, "method"),
        ({"path": "x"}, "absolute path"),
        ({"summary": ""}, "summary"),
    ],
)
def test_a_route_that_says_too_little_stops_the_server(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check([_route(**changes)])


def test_a_route_cannot_leave_its_permission_out() -> None:
    with pytest.raises(TypeError, match="permission"):
        Route("GET", "/x", _handler, summary="x")  # type: ignore[call-arg]  # that is what it tries


def test_one_address_stands_in_the_table_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        check([_route(), _route()])
