"""Trying again: what is worth another attempt, and how long to wait before it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from ..model.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

FIRST, MOST = 0.25, 10.0
LONGEST_WISH = 60.0  # a server that asks for more than this is not waited for longer

log = logging.getLogger("lading")


async def retrying(attempt: Callable[[], Awaitable[T]], tries: int) -> T:
    """What `attempt` returns; it is run up to `tries` times while it raises a retryable CatalogError, then that is
    raised.

    Waits double from 0.25 s to 10 s, each shortened by chance so that clients spread; a Retry-After is waited for in
    full.
    """
    for n in range(1, tries + 1):
        try:
            return await attempt()
        except CatalogError as error:
            if not error.retryable or n == tries:
                raise
            pause = min(MOST, FIRST * 2 ** (n - 1)) * random.uniform(0.5, 1)  # noqa: S311 - spreads clients, hides nothing
            pause = max(pause, min(LONGEST_WISH, float(error.details.get("retry_after", 0))))
            log.info("attempt %d of %d failed (%s), the next in %.1f s", n, tries, error.code, pause)
        await asyncio.sleep(pause)
    raise AssertionError("tries must be at least 1")


def retry_after(header: str | None) -> float:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3: seconds or a date); 0 for none or nonsense."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
