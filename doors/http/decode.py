"""Bodies and query strings into typed values. Everything unexpected is refused, by name."""

from __future__ import annotations

import asyncio
import re
from typing import Any, get_origin, get_type_hints

import msgspec
from aiohttp import web

from lading.model.errors import InvalidRequest, TooLarge, Unavailable
from lading.model.lfn import shown

_AT = re.compile(r" - at `(.*)`$", re.DOTALL)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class JSONBody:
    """Decodes the bodies of one route."""

    def __init__(self, kind: Any, limit: int, max_bytes: int, seconds: float) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._limit = limit
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._top_is_list = get_origin(kind) is list
        self._lists = [] if self._top_is_list else _list_fields(kind)

    async def read(self, request: web.Request) -> bytes:
        """The bytes of the body. Raises TooLarge, InvalidRequest (it stalls), HTTPUnsupportedMediaType."""
        media = request.headers.get("Content-Type")
        if media is not None and media != "application/json" and request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="send JSON: Content-Type must be application/json")
        if (request.content_length or 0) > self._max_bytes:
            raise self._too_large()
        try:
            if request.content.is_eof():
                return await request.read()
            async with asyncio.timeout(self._seconds):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise self._too_large() from None
        except TimeoutError:
            raise Unavailable(f"the body did not arrive within {self._seconds:g} s: send it again") from None

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"a body has at most {self._max_bytes} bytes: send several smaller ones", max_bytes=self._max_bytes
        )

    def decode(self, raw: bytes) -> Any:
        """The typed body. Raises InvalidRequest naming the place in it (`$.files[3].size`), TooLarge for long lists."""
        try:
            body = self._decoder.decode(raw)
        except msgspec.ValidationError as error:
            raise _misfit("body", error) from None
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"the body is not JSON: {error}") from None
        except UnicodeDecodeError:
            raise InvalidRequest("the body is not JSON: it is not valid UTF-8") from None
        except RecursionError:
            raise InvalidRequest("the body is nested too deeply") from None
        # PostgreSQL's text holds no NUL, and no name, comment or description of ours needs one.
        if b"\\u0000" in raw and _NUL.search(raw):
            raise InvalidRequest("a text in the body holds the character NUL (\\u0000): take it out")
        if self._top_is_list:
            self._count(len(body), "$")
        for name in self._lists:
            value = getattr(body, name)
            if value is not None and value is not msgspec.UNSET:
                self._count(len(value), f"$.{name}")
        return body

    def _count(self, count: int, path: str) -> None:
        if count > self._limit:
            raise TooLarge(
                f"{path} has {count} items and one call takes {self._limit}: send several calls",
                path=path,
                items=count,
                max_items=self._limit,
            )


class QueryString:
    """Decodes the query strings of one route; `kind` is a Struct, or None where no parameter is known."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        fields = msgspec.structs.fields(kind) if kind else ()
        self._known = {f.encode_name for f in fields}
        self._many = set(_list_fields(kind)) if kind else set()
        self._default = kind() if kind and not any(f.required for f in fields) else None

    def decode(self, request: web.Request) -> Any:
        """The typed parameters. Raises InvalidRequest: unknown, given twice, of the wrong type, with NUL in it."""
        if not request.rel_url.raw_query_string:
            if self._kind is None or self._default is not None:
                return self._default
            return self._convert({})
        given: dict[str, Any] = {}
        for name, value in request.query.items():
            if name not in self._known:
                known = f"this call knows {', '.join(sorted(self._known))}" if self._known else "this call knows none"
                raise InvalidRequest(f"'{shown(name, 80)}' is no parameter here: {known}", parameter=shown(name, 80))
            if "\0" in value:
                raise InvalidRequest(f"the parameter '{name}' holds the character NUL: take it out", parameter=name)
            if name in self._many:
                given.setdefault(name, []).append(value)
            elif name in given:
                raise InvalidRequest(f"the parameter '{name}' is given twice", parameter=name)
            else:
                given[name] = value
        return self._convert(given)

    def _convert(self, given: dict[str, Any]) -> Any:
        try:
            return msgspec.convert(given, self._kind, strict=False)
        except msgspec.ValidationError as error:
            raise _misfit("query string", error) from None


def check_params(params: Any) -> None:
    """Raises InvalidRequest when a part of the path holds NUL."""
    for name, value in params.items():
        if "\0" in value:
            raise InvalidRequest(f"the '{name}' in the path holds the character NUL: take it out", parameter=name)


def _misfit(what: str, error: msgspec.ValidationError) -> InvalidRequest:
    text = str(error)
    at = _AT.search(text)
    path = at[1] if at else "$"
    message = _AT.sub("", text)
    return InvalidRequest(f"the {what} is wrong at {path}: {message[:1].lower()}{message[1:]}", path=path)


def _list_fields(kind: Any) -> list[str]:
    """Fields of a Struct that hold a list, perhaps an optional one."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return []
    hints = get_type_hints(kind)
    return [n for n, hint in hints.items() if _is_list(hint)]


def _is_list(hint: Any) -> bool:
    return (
        hint is list
        or get_origin(hint) is list
        or any(_is_list(a) for a in getattr(hint, "__args__", ()) if get_origin(hint) is not dict)
    )
