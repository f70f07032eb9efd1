"""PFNs that are paths below a root, checked before anything is done with them."""

from __future__ import annotations

from .errors import InvalidPath

MAX_COMPONENT = 255
MAX_PATH = 4096  # bytes; Linux's PATH_MAX


def shown(text: str, limit: int = 200) -> str:
    """`text` safe to print in a message: controls and lone surrogates escaped, shortened."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: limit + 1])
    return safe if len(text) <= limit else safe[:limit] + "…"


def components(pfn: str) -> list[bytes]:
    """The components of a relative PFN, as bytes (UTF-8; surrogate escapes stand for bytes that are not).

    Raises InvalidPath for an absolute or empty path, an empty component, `.`, `..`, NUL, a component of more than 255
    bytes, a path of more than 4,096.
    """
    try:
        path = pfn.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _bad(pfn, "it is not valid Unicode") from None
    if len(path) > MAX_PATH:
        raise _bad(pfn, f"it is {len(path)} bytes long, at most {MAX_PATH} are allowed")
    if b"\0" in path:
        raise _bad(pfn, "it holds a NUL")
    parts = path.split(b"/")
    for part in parts:
        if not part:
            raise _bad(pfn, "it must be relative, without empty components")
        if part in (b".", b".."):
            raise _bad(pfn, f"'{part.decode()}' is not allowed as a component")
        if len(part) > MAX_COMPONENT:
            raise _bad(pfn, f"a component is {len(part)} bytes long, at most {MAX_COMPONENT} are allowed")
    return parts


def text(name: bytes) -> str:
    """The reverse, for one name or path."""
    return name.decode("utf-8", "surrogateescape")


def _bad(pfn: str, why: str) -> InvalidPath:
    return InvalidPath(f"'{shown(pfn)}' is not a PFN here: {why}", pfn=pfn)
