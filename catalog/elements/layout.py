"""Where a new file goes on an element.

`hash` is a function of the GUID alone, so it is never stored and no rename touches it. `identity` and `prefix` follow
the LFN of the moment, `date` the day (UTC) that the replica is registered: there the PFN is stored with the replica,
because the LFN may change, the day does, and the bytes stay where they are. So it is with layouts that installed
packages add: functions of (GUID, LFN) that give a PFN, named by entry points in the group `lading.layouts`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeAlias

from lading.model.element import Layout
from lading.model.errors import InvalidRequest, Unavailable
from lading.model.lfn import is_within

if TYPE_CHECKING:
    from .service import Element

    Rule: TypeAlias = Callable[[str, str], str]

MAX_PFN = 4096
GROUP = "lading.layouts"
WITHOUT_GUID = (Layout.HASH, Layout.IDENTITY, Layout.PREFIX)  # its GUID is no part of what is stored of a file's place
_RULES: dict[str, Rule] = {}


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
    if element.layout not in WITHOUT_GUID:
        return f"{element.prefix}{_ruled(element, guid, lfn)}", True
    path = lfn
    if element.layout == "prefix" and element.strip and is_within(lfn, element.strip):
        path = lfn[len(element.strip) :] if element.strip != "/" else lfn
    return f"{element.prefix}{path.lstrip('/')}", True


def check_layout(name: str) -> None:
    """Raises InvalidRequest for a layout that is neither lading's own nor that of an installed package."""
    if name in list(Layout) or name in _RULES:
        return
    added = sorted(entry_points(group=GROUP).names)
    if name not in added:
        known = ", ".join([*Layout, *added])
        raise InvalidRequest(f"there is no layout '{name[:80]}': {known}", layout=name[:80])
    _load(name)


def _load(name: str) -> Rule:
    """Raises Unavailable when this host has it not, or it can't be imported."""
    if name not in _RULES:
        for point in entry_points(group=GROUP, name=name):
            try:
                _RULES[name] = point.load()
            except Exception as error:
                raise Unavailable(f"the layout '{name}' can't be loaded: {type(error).__name__}") from error
            break
        else:
            raise Unavailable(f"the layout '{name}' is not installed here: its package is missing")
    return _RULES[name]


def _ruled(element: Element, guid: str, lfn: str) -> str:
    rule = _load(element.layout)
    try:
        return check_pfn(rule(guid, lfn))
    except Exception as error:
        why = error.message if isinstance(error, InvalidRequest) else type(error).__name__
        raise Unavailable(
            f"the layout '{element.layout}' gives no place on '{element.name}': {why}", lfn=lfn, element=element.name
        ) from error


def check_pfn(pfn: str) -> str:
    """An explicit PFN: relative or a URL, no `..`, no control character. Raises InvalidRequest."""
    if not pfn or len(pfn) > MAX_PFN:
        raise InvalidRequest(f"a PFN has 1 to {MAX_PFN} characters")
    if not pfn.isprintable() and any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in pfn):
        raise InvalidRequest("a PFN holds no control characters", pfn=pfn.encode("unicode_escape").decode()[:200])
    if ".." in pfn.split("/"):
        raise InvalidRequest("a PFN holds no '..'", pfn=pfn[:200])
    return pfn
