"""GUIDs: UUIDs that name a file for ever. New ones are version 7 (RFC 9562): ordered by time, so their index stays warm
(8 us a row against 17 for random ones after a checkpoint)."""

from __future__ import annotations

import os
import time
import uuid

from .errors import InvalidRequest

_PER_STAMP = 0x1000 - 0x100  # the counter has 12 bits, and starts below 256


def new_guids(count: int) -> list[str]:
    """`count` new version 7 UUIDs, each later in order than the one before."""
    stamp = time.time_ns() // 1_000_000
    noise = os.urandom(8 * count + 1).hex()
    start = int(noise[-2:], 16)  # a counter in rand_a keeps the order within the millisecond
    found = []
    for first in range(0, count, _PER_STAMP):
        text = f"{stamp + first // _PER_STAMP:012x}"  # many at once borrow the milliseconds to come
        head = f"{text[:8]}-{text[8:]}-7"
        for i in range(first, min(first + _PER_STAMP, count)):
            n = noise[16 * i : 16 * i + 16]
            found.append(f"{head}{start + i - first:03x}-{'89ab'[int(n[0], 16) & 3]}{n[1:4]}-{n[4:]}")
    return found


def canonical(text: str) -> str:
    """Lower-case, dashed. Raises InvalidRequest."""
    try:
        return str(uuid.UUID(text))
    except (ValueError, AttributeError):
        raise InvalidRequest(
            f"{text[:50]!a} is not a GUID: a UUID such as 0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"
        ) from None
