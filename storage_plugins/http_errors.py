"""What a server's answer or silence means, in the words of `errors.py`."""

from __future__ import annotations

import email.utils
import re
import time
from datetime import UTC
from typing import TYPE_CHECKING

import aiohttp

from .errors import (
    Denied,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
    Unsupported,
)
from .paths import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: dict[int, type[StorageError]] = {
    401: Denied,
    403: Denied,
    404: ObjectNotFound,
    405: Unsupported,
    407: Denied,
    410: ObjectNotFound,
    412: ObjectExists,
    413: NoSpace,
    414: InvalidPath,
    501: Unsupported,
    507: NoSpace,
}
_MOMENT = (408, 409, 423, 425, 429)  # a conflict passes: what is meant by one is handled where it is expected
_DAY = 86400.0
_QUERY = re.compile(r"\?\S+")


def refused(method: str, status: int, headers: Mapping[str, str], *, pfn: str | None) -> StorageError:
    """The error for an answer that is not what was wanted."""
    message = f"the server answered {method} with {status}"
    if status in _KINDS:
        return _KINDS[status](message, pfn=pfn)
    if status >= 500 or status in _MOMENT:
        return Transient(message, pfn=pfn, retry_after=_seconds(headers.get("Retry-After")))
    return StorageError(f"{message}: is it the right URL, and the right type of storage?", pfn=pfn)


def broken(error: Exception, *, pfn: str | None) -> StorageError:
    """The error for a connection that failed or broke off."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "it does not fit"
        return Unavailable(f"the server's certificate is refused ({why}): option 'ca' says whom to trust", pfn=pfn)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Unavailable(f"no connection to the server: {hidden(str(error))}", pfn=pfn)
    if isinstance(error, TimeoutError):
        return Transient("the server did not answer in time", pfn=pfn)
    if isinstance(error, aiohttp.InvalidURL):
        return InvalidPath("no URL can be made of it", pfn=pfn)
    return Transient(f"the connection broke off: {type(error).__name__}", pfn=pfn)


def hidden(text: str) -> str:
    """`text` safe to print: what follows a question mark in a URL may be a signature."""
    return shown(_QUERY.sub("?…", text))


def _seconds(retry_after: str | None) -> float | None:
    """The header's number, or the time until its date; a day at most."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.strip().isdigit():
        return min(float(retry_after), _DAY)
    moment = moment_us(retry_after)
    return None if moment is None else min(max(0.0, moment / 1e6 - time.time()), _DAY)


def moment_us(date: str | None) -> int | None:
    """An HTTP date in microseconds since the epoch; None for what is none."""
    try:
        moment = email.utils.parsedate_to_datetime(date) if date else None
        if moment is None:
            return None
        if moment.tzinfo is None:  # asctime's form, which RFC 9110 has us read too: UTC, not this host's time
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp()) * 1_000_000
    except (ValueError, OverflowError):
        return None
