"""What went wrong, on the wire: RFC 9457 problem documents.

InvalidRequest 400 · Unauthenticated 401 · Forbidden 403 · NotFound 404 · Conflict 409 · TooLarge 413 · Throttled 429
Unavailable 503 · QuotaExceeded 507 · anything we did not foresee: 500, with the request id and nothing else
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from lading.model import errors
from lading.model.errors import CatalogError, Fault
from storage_plugins.errors import ChecksumMismatch, InvalidPath, NoSpace, ObjectExists, ObjectNotFound, StorageError

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[CatalogError], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.Throttled: 429,
    errors.Unavailable: 503,
    errors.QuotaExceeded: 507,
}

# A plug-in's fault that no service translated; the rest are the element's, for its operator to mend.
_STORAGE: dict[type[StorageError], type[CatalogError]] = {
    ObjectNotFound: errors.NotFound,
    ObjectExists: errors.Conflict,
    ChecksumMismatch: errors.Conflict,
    InvalidPath: errors.InvalidRequest,
    NoSpace: errors.QuotaExceeded,
}

_HTTP_CODES = {401: "unauthenticated", 403: "forbidden", 404: "not_found", 409: "conflict", 413: "too_large"}
_RETRY_AFTER = {429: 1, 503: 2}
_KEPT = {"Allow", "Content-Range", "ETag"}  # what a 405, a 416 and a 412 tell beside the document


class Problem(msgspec.Struct, omit_defaults=True):
    """RFC 9457. `code` is stable and for programs; `detail` says what and what to do; `details` names the item."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    retryable: bool = False
    details: dict[str, Any] = {}
    request_id: str = ""


_ENCODER = msgspec.json.Encoder(enc_hook=str)


def foreseen(error: BaseException) -> bool:
    """False when `error` is a fault of ours that deserves a traceback in the log."""
    return isinstance(error, CatalogError | StorageError | web.HTTPException)


def fault(error: BaseException) -> Fault:
    """`error` as told to a caller: what we did not foresee says nothing of itself."""
    return _told(error)[1]


def response(error: BaseException, request_id: str) -> web.Response:
    """The answer for `error`."""
    if isinstance(error, web.HTTPException) and error.status < 400:
        return web.Response(status=error.status, headers={"Location": error.headers.get("Location", "")})
    status, told = _told(error)
    problem = Problem(
        f"/docs#{told.code}",
        HTTPStatus(status).phrase,
        status,
        told.code,
        told.message,
        told.retryable,
        told.details,
        request_id,
    )
    answer = web.Response(body=_ENCODER.encode(problem), status=status, content_type=MEDIA_TYPE)
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="lading"'
    elif status in _RETRY_AFTER and told.retryable:
        answer.headers["Retry-After"] = str(told.details.get("retry_after", _RETRY_AFTER[status]))
    elif isinstance(error, web.HTTPException):
        for name in _KEPT & error.headers.keys():
            answer.headers[name] = error.headers[name]
    return answer


def _told(error: BaseException) -> tuple[int, Fault]:
    if isinstance(error, StorageError):
        error = _translated(error)
    if isinstance(error, CatalogError):
        status = next((STATUS[k] for k in type(error).__mro__ if k in STATUS), 500)
        return status, error.fault()
    if isinstance(error, web.HTTPException):
        code = _HTTP_CODES.get(error.status, "invalid_request" if error.status < 500 else "internal")
        return error.status, Fault(code, error.text or error.reason)
    return 500, Fault("internal", "the server failed on this; its log tells more under the request id")


def _translated(error: StorageError) -> CatalogError:
    made = _STORAGE.get(type(error), errors.Unavailable)(str(error), storage=error.code)
    made.retryable = error.retryable
    return made
