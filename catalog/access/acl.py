"""POSIX.1e access control lists, as the LFC had them: named users and groups, a mask, and defaults that children
inherit.

On the wire an entry is setfacl's text: `user:alice:rwx`, `group:vip:r-x`, `mask::r-x`, `default:user::rwx`,
`default:other::---`. The owner's, group's and others' own entries are the mode bits, so only defaults spell them out.
In the database an ACL is one interned text with ids for names: `u7:101,g5:102,m7:,du7:,dg5:,do0:`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lading.model.errors import InvalidRequest
from lading.model.lfn import shown as shown_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_ENTRY = re.compile(r"(default:)?(user|group|mask|other):([^:]*):([r-][w-][x-]|[0-7])")
_TAGS = {"user": "u", "group": "g", "mask": "m", "other": "o"}
_NAMES = {v: k for k, v in _TAGS.items()}


@dataclass(frozen=True, slots=True)
class Acl:
    """Entries by (tag, id): tags `u g m o`, id 0 for the owner's own, permission bits as the value."""

    access: Mapping[tuple[str, int], int]
    default: Mapping[tuple[str, int], int]

    def text(self) -> str:
        """The interned form; '' for an ACL that says nothing."""
        rows = [("", *k, p) for k, p in self.access.items()] + [("d", *k, p) for k, p in self.default.items()]
        return ",".join(f"{d}{tag}{perm}:{who or ''}" for d, tag, who, perm in sorted(rows))


EMPTY = Acl({}, {})


def load(text: str) -> Acl:
    """The ACL that `Acl.text` wrote."""
    access: dict[tuple[str, int], int] = {}
    default: dict[tuple[str, int], int] = {}
    for word in text.split(",") if text else ():
        into, part = (default, word[1:]) if word[0] == "d" else (access, word)
        into[part[0], int(part[3:] or 0)] = int(part[1])
    return Acl(access, default)


def parse(entries: Iterable[str]) -> list[tuple[bool, str, str, int]]:
    """(default, tag, name, bits) of setfacl texts. Raises InvalidRequest naming the entry."""
    found = []
    for entry in entries:
        match = _ENTRY.fullmatch(entry)
        if not match:
            raise InvalidRequest(
                f"'{shown_text(entry, 80)}' is not an ACL entry: write user:NAME:rwx, group:NAME:r-x,"
                " mask::rwx or default:..."
            )
        default, kind, name, perm = match.groups()
        bits = int(perm) if perm.isdigit() else sum(b for b, c in zip((4, 2, 1), perm, strict=True) if c != "-")
        if name and kind in ("mask", "other"):
            raise InvalidRequest(f"'{shown_text(entry, 80)}': {kind} takes no name")
        if not default and not name and kind != "mask":
            raise InvalidRequest(f"'{entry}': the owner's, group's and others' rights are the mode: use chmod")
        found.append((bool(default), _TAGS[kind], name, bits))
    return found


def build(parsed: Iterable[tuple[bool, str, str, int]], ids: Mapping[tuple[str, str], int]) -> Acl:
    """The ACL of parsed entries as they stand, names looked up in `ids` by (tag, name)."""
    parts: tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]] = ({}, {})
    for default, tag, name, bits in parsed:
        parts[default][tag, ids[tag, name] if name else 0] = bits
    return Acl(*parts)


def complete(acl: Acl, mode: int, masked: Collection[bool]) -> Acl:
    """`acl` of an entry of `mode` with what setfacl(1) adds: the masks, as unions of all that they mask, and the
    default's own entries, from the mode. `masked` tells which mask was given and stays: False the access's, True the
    default's.
    """
    access, default = dict(acl.access), dict(acl.default)
    named = [p for (_, who), p in access.items() if who]
    if not named:
        access = {}  # a mask alone masks nothing
    elif False not in masked:
        access["m", 0] = _union([*named, mode >> 3 & 7])
    if not any(tag != "m" for tag, _ in default):
        return Acl(access, {})
    for tag, shift in (("u", 6), ("g", 3), ("o", 0)):
        default.setdefault((tag, 0), mode >> shift & 7)
    if True not in masked and (("m", 0) in default or any(who for _, who in default)):
        default["m", 0] = _union(p for (tag, who), p in default.items() if who or tag == "g")
    return Acl(access, default)


def _union(bits: Iterable[int]) -> int:
    result = 0
    for b in bits:
        result |= b
    return result


def shown(acl: Acl, names: Mapping[int, str]) -> list[str]:
    """setfacl's text of every entry, in a stable order."""
    lines = []
    for prefix, part in (("", acl.access), ("default:", acl.default)):
        for (tag, who), bits in sorted(part.items()):
            perm = "".join(c if bits & b else "-" for b, c in ((4, "r"), (2, "w"), (1, "x")))
            lines.append(f"{prefix}{_NAMES[tag]}:{names.get(who, str(who)) if who else ''}:{perm}")
    return lines


def inherit(parent: Acl, mode: int, *, directory: bool) -> tuple[int, Acl]:
    """(mode, ACL) of a child made with `mode` below a directory with `parent`: POSIX.1e's rule, mode acting as a
    mask."""
    if not parent.default:
        return mode, EMPTY
    default = parent.default
    user = default.get(("u", 0), 7) & (mode >> 6)
    other = default.get(("o", 0), 0) & mode
    group_class = (mode >> 3) & 7
    access = {k: p for k, p in default.items() if k[1]}
    group = default.get(("g", 0), 0)
    mask = default.get(("m", 0), 7) & group_class
    if access:
        access["m", 0] = mask
    else:
        group &= mask
    return (mode & 0o7000) | user << 6 | group << 3 | other, Acl(access, default if directory else {})


def bits(mode: int, owner: int, group: int, acl: Acl, user: int, groups: Iterable[int]) -> int:
    """The rwx bits that `user`, member of `groups`, has here (POSIX.1e's access check)."""
    if user == owner:
        return mode >> 6 & 7
    mask = acl.access.get(("m", 0), 7)
    named = acl.access.get(("u", user))
    if named is not None:
        return named & mask
    granted, member = 0, False
    for g in groups:
        if g == group:
            granted |= mode >> 3 & 7
            member = True
        entry = acl.access.get(("g", g))
        if entry is not None:
            granted |= entry
            member = True
    return granted & mask if member else mode & 7
