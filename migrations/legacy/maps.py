"""The mapping files: DN to user, FQAN to group, host to element, path prefix to path prefix. All CSV, with a header line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lading.model.errors import CatalogError, InvalidRequest
from lading.model.lfn import parse, shown

_PRINCIPAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}")
_ELEMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_PROXY = re.compile(r"(?:/CN=(?:limited )?proxy)+$", re.I)
_EMAIL = re.compile(r"/(?:Email|emailAddress|E)=", re.I)
_ESCAPED = re.compile(r"(?:\\x[0-9A-Fa-f]{2})+")


def same_dn(dn: str) -> str:
    """One form for the ways a DN was written down: no proxy suffix, one word for e-mail, \\xC3\\xBC as what it stands for."""
    text = _ESCAPED.sub(lambda m: bytes.fromhex(m[0].replace("\\x", "")).decode("utf-8", "replace"), dn.strip())
    return _EMAIL.sub("/emailAddress=", _PROXY.sub("", text))


def same_fqan(fqan: str) -> str:
    """`/vo/Role=x`, with its slash and without the parts that say nothing."""
    parts = [p for p in fqan.strip().strip("/").split("/") if p.lower() not in ("role=null", "capability=null")]
    return "/" + "/".join(parts)


def same_host(host: str) -> str:
    """A host's name in lower case, without its port."""
    return host.strip().lower().rstrip(".").split(":", 1)[0]


@dataclass(slots=True)
class Map:
    """What a file says, as written (`exact`) and in the one form (`alike`)."""

    exact: dict[str, str] = field(default_factory=dict)
    alike: dict[str, str] = field(default_factory=dict)

    def find(self, key: str, same: Callable[[str], str]) -> tuple[str, str] | None:
        """(value, `exact` or `variant`), or None."""
        if key in self.exact:
            return self.exact[key], "exact"
        value = self.alike.get(same(key))
        return None if value is None else (value, "variant")


@dataclass(slots=True)
class Maps:
    users: Map = field(default_factory=Map)
    groups: Map = field(default_factory=Map)
    elements: Map = field(default_factory=Map)
    paths: list[tuple[str, str]] = field(default_factory=list)
    """(from, to), the longest first; '' is the root."""


def load(user_map: str | None, group_map: str | None, se_map: str | None, path_rules: str | None) -> Maps:
    """The maps of these files; a file not given is an empty map. Raises InvalidRequest naming file and line."""
    maps = Maps()
    for file, columns, into, same, name in (
        (user_map, ("dn", "username"), maps.users, same_dn, _PRINCIPAL),
        (group_map, ("fqan", "group"), maps.groups, same_fqan, _PRINCIPAL),
        (se_map, ("host", "se_name"), maps.elements, same_host, _ELEMENT),
    ):
        for line, key, value in _rows(file, columns):
            if not name.fullmatch(value):
                what = (
                    "letters, digits and _ . @ + -, at most 128"
                    if name is _PRINCIPAL
                    else "letters, digits and _ . -, at most 63"
                )
                raise _bad(file, line, f"'{shown(value, 80)}' is not a name: {what}")
            if into.exact.setdefault(key, value) != value:
                raise _bad(file, line, f"'{shown(key)}' was mapped to '{into.exact[key]}' above: keep one of the lines")
            into.alike.setdefault(same(key), value)
    for line, old, new in _rows(path_rules, ("from_prefix", "to_prefix")):
        try:
            maps.paths.append((parse(old).rstrip("/"), parse(new).rstrip("/")))
        except CatalogError as error:
            raise _bad(path_rules, line, error.message) from None
    if len({old for old, _ in maps.paths}) < len(maps.paths):
        raise InvalidRequest(f"{path_rules}: a prefix stands there twice: keep one of the lines", file=path_rules)
    maps.paths.sort(key=lambda rule: -len(rule[0]))
    return maps


def map_path(path: str, rules: Iterable[tuple[str, str]]) -> str:
    """Where `path` ('' is the root) goes: the longest prefix decides."""
    for old, new in rules:
        if path == old or path.startswith(old + "/"):
            return new + path[len(old) :]
    return path


def _rows(file: str | None, columns: tuple[str, str]) -> Iterable[tuple[int, str, str]]:
    if file is None:
        return
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file}: cannot be read as UTF-8 text: {error}", file=file) from None
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [c.strip().lower() for c in next(reader, [])]
    if any(c not in header for c in columns):
        raise InvalidRequest(f"{file}: the first line must be '{','.join(columns)}'", file=file)
    first, second = (header.index(c) for c in columns)
    for row in reader:
        if not row or row[0].lstrip().startswith("#"):
            continue
        if len(row) <= max(first, second) or not row[first].strip() or not row[second].strip():
            raise _bad(file, reader.line_num, f"'{','.join(columns)}' is expected: two values")
        yield reader.line_num, row[first].strip(), row[second].strip()


def _bad(file: str | None, line: int, why: str) -> InvalidRequest:
    return InvalidRequest(f"{file}, line {line}: {why}", file=file, line=line)


def guess_user(dn: str, taken: Iterable[str]) -> str:
    """A user name that somebody may have meant for this DN: first letter and last name, as most sites do."""
    names = [n.partition("=")[2] for n in re.findall(r"/CN=[^/]+", same_dn(dn))]
    words = re.findall(r"[^\W\d_]+", names[-1] if names else dn)
    guess = (words[0][:1] + words[-1] if len(words) > 1 else "".join(words)).lower()
    guess = guess.encode("ascii", "ignore").decode() or "user"
    known = set(taken)
    return guess if guess not in known else next(f"{guess}{i}" for i in range(2, 10**6) if f"{guess}{i}" not in known)
