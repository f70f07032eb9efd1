"""What can go wrong, as seen by whoever asked.

    CatalogError                code              HTTP   exit
     ├─ InvalidRequest          invalid_request   400    2     the caller must change the request
     ├─ Unauthenticated         unauthenticated   401    3     no token, a wrong one, an expired one
     ├─ Forbidden               forbidden         403    4     who you are may not do this
     ├─ NotFound                not_found         404    5     no such file, directory, element, ...
     ├─ Conflict                conflict          409    6     it exists, and differs
     ├─ TooLarge                too_large         413    2     more items or bytes than one call takes
     ├─ QuotaExceeded           quota_exceeded    507    7     no room left for this group here
     ├─ Throttled               throttled         429    8     slow down; retryable
     └─ Unavailable             unavailable       503    8     the database or an element is away; retryable

Storage faults (`storage_plugins.errors.StorageError`) are a tree of their own: a plug-in knows bytes, not files.
A bulk call never fails as a whole for one bad item: it answers with an `Outcome` per item, whose `error` is a `Fault`.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error on the wire: `code` is stable and for programs, `message` says what and what to do, `details` names the
    item."""

    code: str
    message: str
    retryable: bool = False
    details: dict[str, Any] = {}


class CatalogError(Exception):
    """Base of everything lading refuses. `message` is for people and names the next step; `details` is JSON-able."""

    code = "error"
    retryable = False
    exit_code = 1

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def fault(self) -> Fault:
        return Fault(self.code, self.message, self.retryable, self.details)


class InvalidRequest(CatalogError):
    code = "invalid_request"
    exit_code = 2


class Unauthenticated(CatalogError):
    code = "unauthenticated"
    exit_code = 3


class Forbidden(CatalogError):
    code = "forbidden"
    exit_code = 4


class NotFound(CatalogError):
    code = "not_found"
    exit_code = 5


class Conflict(CatalogError):
    code = "conflict"
    exit_code = 6


class TooLarge(CatalogError):
    code = "too_large"
    exit_code = 2


class QuotaExceeded(CatalogError):
    code = "quota_exceeded"
    exit_code = 7


class Throttled(CatalogError):
    code = "throttled"
    retryable = True
    exit_code = 8


class Unavailable(CatalogError):
    code = "unavailable"
    retryable = True
    exit_code = 8


BY_CODE: dict[str, type[CatalogError]] = {
    c.code: c
    for c in (
        InvalidRequest,
        Unauthenticated,
        Forbidden,
        NotFound,
        Conflict,
        TooLarge,
        QuotaExceeded,
        Throttled,
        Unavailable,
    )
}


def from_fault(fault: Fault) -> CatalogError:
    """The exception a `Fault` stands for; an unknown code (a newer server) becomes a plain `CatalogError`."""
    error = BY_CODE.get(fault.code, CatalogError)(fault.message, **fault.details)
    error.retryable = fault.retryable
    return error
