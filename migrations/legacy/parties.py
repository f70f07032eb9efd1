"""Who and what the source's numbers and hosts are in lading: users, groups, elements. Decides; `parties_store` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from catalog.access import acl as acls

from .maps import Maps, same_dn, same_fqan, same_host
from .replicas_store import HostRow

ROOT = {"u": "admin", "g": "admin"}  # uid and gid 0


@dataclass(slots=True)
class Party:
    """One uid or gid. `how`: exact, variant (by the map), known (lading has that DN), root, or placeholder."""

    kind: str
    legacy_id: int
    given: str | None
    name: str
    how: str
    banned: bool = False


def people(
    kind: str,
    rows: Sequence[tuple[int, str, int]],
    missing: Iterable[int],
    maps: Maps,
    known: Mapping[str, tuple[str, bool]],
    source: str,
) -> list[Party]:
    """What becomes of every (id, DN or FQAN, banned) row and of ids that have no row.

    `known` are the DNs (FQANs) lading has, in their one form, whose they are, and whether that is a placeholder.
    """
    which, same = (maps.users, same_dn) if kind == "u" else (maps.groups, same_fqan)
    word = "uid" if kind == "u" else "gid"
    seen = dict(known)
    parties = [Party(kind, 0, None, ROOT[kind], "root")]
    for legacy_id, given, banned in rows:
        key = given if kind == "u" else "/" + given.strip("/")
        found = which.find(key, same)
        if found is not None:
            name, how = found
        elif same(given) in seen:
            name, unknown = seen[same(given)]
            how = "placeholder" if unknown else "known"
        else:
            name, how = f"{source}-{word}-{legacy_id}", "placeholder"
            seen[same(given)] = name, True  # another spelling of it is the same person
        if legacy_id == 0:
            parties.pop(0)
        parties.append(Party(kind, legacy_id, key, name, how, bool(banned)))
    parties += [
        Party(kind, i, None, f"{source}-{word}-{i}", "placeholder")
        for i in sorted(set(missing) - {p.legacy_id for p in parties})
    ]
    return parties


@dataclass(slots=True)
class Hosts:
    """Decides which element a replica is on. `elements` are the names lading has."""

    maps: Maps
    elements: Iterable[str]
    _names: dict[str, str] = field(init=False)
    _mapped: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._names = {n.lower(): n for n in [*self.elements, *self.maps.elements.exact.values()]}
        self._mapped = self.maps.elements.alike

    def decide(self, pairs: Sequence[tuple[str, str, int]]) -> list[HostRow]:
        """A row per (host, sfn_host, count).

        An unknown host with hardly any replica (at most 3, or one in a thousand) is taken for a leftover, and has its own
        code: the ones that matter are those that a line in the map would bring in.
        """
        rows, counts = [], dict[str, int]()
        total = sum(n for _, _, n in pairs)
        for host, sfn_host, n in pairs:
            counts[self._host(host, sfn_host)[0]] = counts.get(self._host(host, sfn_host)[0], 0) + n
        for host, sfn_host, _ in pairs:
            where, code = self._host(host, sfn_host)
            element = (
                self._names.get(where)
                if code == "replica_host_is_se_name"
                else self._mapped.get(where) or self._names.get(where)
            )
            placeholder = None
            if element is None:
                element = placeholder = _element_name(where)
                unknown = "replica_unknown_se" if counts[where] <= max(3, total // 1000) else "replica_host_unmapped"
                code = code or unknown
            rows.append(HostRow(host, sfn_host, element, code, placeholder))
        return rows

    def _host(self, host: str, sfn_host: str) -> tuple[str, str | None]:
        """(host or element name, in lower case; the code if the two differ)."""
        stored, inner = same_host(host), same_host(sfn_host)
        if not inner or stored == inner:
            return stored or inner, None
        if not stored:
            return inner, "replica_host_empty"
        if host.lower() in self._names or "." not in stored:
            return host.strip().lower(), "replica_host_is_se_name"
        return inner, "replica_host_mismatch"


def _element_name(host: str) -> str:
    """A name for the element of an unknown host, made of the characters that names may have."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in host).lstrip("_.-")[:63]
    return kept or "unknown-host"


_TAGS = {"B": "u", "D": "g", "E": "m", "a": "u", "b": "u", "c": "g", "d": "g", "e": "m", "f": "o"}


def acl_ids(text: str) -> tuple[set[int], set[int]]:
    """The (uids, gids) that an LFC's ACL names: `B7101` a user, `D5102` a group, lower case in a default."""
    parts = text.split(",")
    return {int(p[2:]) for p in parts if p[0] in "Bb"}, {int(p[2:]) for p in parts if p[0] in "Dd"}


def acl(text: str, principals: Mapping[tuple[str, int], int]) -> str:
    """lading's form of an LFC's ACL. The owner's, group's and others' own entries (A, C, F) are the mode already.

    `principals` is by ('u' or 'g', legacy id). Two uids of one person get what either had.
    """
    parts: tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]] = ({}, {})
    for part in text.split(","):
        tag = _TAGS.get(part[0])
        if tag is None:
            continue
        named = part[0] in "BDbd"
        who = principals[tag, int(part[2:])] if named else 0
        entries = parts[part[0].islower()]
        entries[tag, who] = entries.get((tag, who), 0) | int(part[1])
    access, default = parts
    if not any(who for _, who in access):
        access.pop(("m", 0), None)
    return acls.Acl(access, default).text()
