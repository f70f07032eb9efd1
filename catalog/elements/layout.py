"""Where a new file goes on an element.

`hash` is a function of the GUID alone, so it is never stored and no rename touches it. `identity` and `prefix` follow
the LFN of the moment, `date` the day (UTC) that the replica is registered: there the PFN is stored with the replica,
because the LFN may change, the day does, and the bytes stay where they are.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lading.model.errors import InvalidRequest
from lading.model.lfn import is_within

if TYPE_CHECKING:
    from .service import Element

MAX_PFN = 4096


def hashed(guid: str) -> str:
    """`0190/ab/0190abcd-…` is spread by the last four digits: the first of a version 7 GUID are the time."""
    return f"{guid[-2:]}/{guid[-4:-2]}/{guid}"


def implied(element: Element, guid: str) -> str:
    """Where a replica without a stored PFN is, whatever the element's layout is now."""
    return f"{element.prefix}{hashed(guid)}"


def derived(element: Element, guid: str, lfn: str) -> tuple[str, bool]:
    """(PFN, must it be stored) of a new file on `element`."""
    if element.layout == "hash":
        return implied(element, guid), False
    if element.layout == "date":
        return f"{element.prefix}{time.strftime('%Y/%m/%d', time.gmtime())}/{guid}", True
    path = lfn
    if element.layout == "prefix" and element.strip and is_within(lfn, element.strip):
        path = lfn[len(element.strip) :] if element.strip != "/" else lfn
    return f"{element.prefix}{path.lstrip('/')}", True


def check_pfn(pfn: str) -> str:
    """An explicit PFN: relative or a URL, no `..`, no control character. Raises InvalidRequest."""
    if not pfn or len(pfn) > MAX_PFN:
        raise InvalidRequest(f"a PFN has 1 to {MAX_PFN} characters")
    if not pfn.isprintable() and any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in pfn):
        raise InvalidRequest("a PFN holds no control characters", pfn=pfn.encode("unicode_escape").decode()[:200])
    if ".." in pfn.split("/"):
        raise InvalidRequest("a PFN holds no '..'", pfn=pfn[:200])
    return pfn
