"""Logical file names: absolute paths such as `/biomed/user/a/alice/scan.nii`.

The rules (POSIX's, narrowed by what the LFC and DIRAC could hold): a leading `/`, components of 1 to 255 bytes of
UTF-8, the whole at most 2,048 bytes; no NUL or other control character, no `.` or `..`, no empty component. One
trailing slash is forgiven. Names are compared byte by byte: no case folding, no Unicode normalisation.
"""

from __future__ import annotations

import re

from .errors import InvalidRequest

MAX_COMPONENT = 255
MAX_PATH = 2048

# 63 characters are at most 252 bytes and 512 characters at most 2,048: what passes here needs no look at its bytes.
_PLAIN = re.compile(r"(?:/[^/\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,63})+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def parse(text: str) -> str:
    """The LFN in its one stored form (no trailing slash; the root is `/`).

    Raises InvalidRequest, naming the path (controls escaped) and the rule it breaks.
    """
    if len(text) <= 512 and "/." not in text and _PLAIN.fullmatch(text):
        return text
    return _parse_slowly(text)


def _parse_slowly(text: str) -> str:
    if text == "/":
        return text
    path = text[:-1] if text.endswith("/") else text
    if not path.startswith("/"):
        raise _bad(text, "it must be absolute: start with '/'")
    if _CONTROL.search(path):
        raise _bad(text, "control characters are not allowed in names")
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise _bad(text, "it is not valid UTF-8") from None
    if size > MAX_PATH:
        raise _bad(text, f"it is {size} bytes long, at most {MAX_PATH} are allowed")
    for component in path[1:].split("/"):
        if component == "":
            raise _bad(text, "it has an empty component ('//')")
        if component in (".", ".."):
            raise _bad(text, f"'{component}' is not allowed as a component")
        if len(component) > 63 and len(component.encode()) > MAX_COMPONENT:
            raise _bad(
                text,
                f"a component is {len(component.encode())} bytes long, at most {MAX_COMPONENT} are allowed",
            )
    return path


def shown(text: str, limit: int = 200) -> str:
    """`text` safe to print: controls (terminal escapes among them) and lone surrogates escaped, shortened to
    `limit`."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: limit + 1])
    return safe if len(text) <= limit else safe[:limit] + "…"


def _bad(text: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"'{shown(text)}' is not an LFN: {why}", lfn=shown(text))


def component(name: str) -> str:
    """A single name, checked by the same rules. Raises InvalidRequest."""
    if "/" in name:
        raise _bad(name, "a name holds no '/'")
    return parse("/" + name)[1:]


def split(lfn: str) -> tuple[str, str]:
    """(parent, name): `/a/b` is (`/a`, `b`), `/a` is (`/`, `a`), and the root is (``, ``)."""
    head, _, name = lfn.rpartition("/")
    return (head or "/", name) if name else ("", "")


def join(parent: str, name: str) -> str:
    return f"/{name}" if parent == "/" else f"{parent}/{name}"


def parents(lfn: str) -> list[str]:
    """Every directory above `lfn`, the root first: `/a/b/c` gives `/`, `/a`, `/a/b`."""
    parts = lfn.split("/")[1:-1]
    return ["/"] + ["/" + "/".join(parts[: i + 1]) for i in range(len(parts))]


def is_within(lfn: str, top: str) -> bool:
    """True when `lfn` is `top` or lies below it."""
    return top == "/" or lfn == top or lfn.startswith(top + "/")


def vo(lfn: str) -> str:
    """The first component: by convention the virtual organisation. The root has none ('')."""
    return lfn[1:].split("/", 1)[0]
