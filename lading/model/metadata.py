"""Metadata values as they come in: a flat JSON object of small, named values."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from .errors import InvalidRequest

MAX_BYTES = 65_536
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,126}")


def check_metadata(values: dict[str, Any]) -> dict[str, Any]:
    """The values. Raises InvalidRequest for a bad key or more than 64 KiB."""
    for key, value in values.items():
        if not _KEY.fullmatch(key):
            raise InvalidRequest(
                f"{key[:80]!a} is not a metadata key: letters, digits and _ . - only, at most 127", key=key[:80]
            )
        if isinstance(value, str) and "\x00" in value:
            raise InvalidRequest(f"the value of '{key}' holds a NUL, which can't be stored", key=key)
    encoded = msgspec.json.encode(values)
    if len(encoded) > MAX_BYTES:
        raise InvalidRequest(f"the metadata of one file is at most {MAX_BYTES} bytes")
    if b"\\u0000" in encoded.replace(b"\\\\", b""):  # an escaped backslash before a plain u0000 is no NUL
        raise InvalidRequest("metadata holds a NUL, which can't be stored")
    return values
