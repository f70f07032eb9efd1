"""The LFC (and the name server of a DPM): its tables turned into neutral records, and what is wrong with single rows.

Columns are found by name, so any schema will do. Not kept: rowid, fileclass, nbaccesses, ptime, ltime, poolname, fs and the
certificate authority of a user: they served the LFC's own housekeeping, or CASTOR's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import cast

from . import lfc_entries, lfc_others
from .records import Batch, Notes
from .rows import BadSource, Reader, Rows, SourceInfo

_NEEDED = {
    "cns_file_metadata": "fileid parent_fileid guid name filemode nlink owner_uid gid filesize atime mtime ctime status csumtype csumvalue acl xattr",
    "cns_file_replica": "rowid fileid ctime atime r_type status f_type setname host sfn",
    "cns_userinfo": "userid username banned",
    "cns_groupinfo": "gid groupname banned",
    "cns_symlinks": "fileid linkname",
    "cns_user_metadata": "u_fileid comments",
    "schema_version": "major minor patch major_number minor_number patch_number",
}
WANTED = {table: frozenset(columns.split()) for table, columns in _NEEDED.items()}
_IGNORED = frozenset(["rowid", "fileclass", "nbaccesses", "ptime", "ltime", "poolname", "fs", "user_ca"])
_MUST = {
    "cns_file_metadata": ("fileid", "parent_fileid", "name", "filemode"),
    "cns_file_replica": ("fileid", "sfn"),
    "cns_userinfo": ("userid", "username"),
    "cns_groupinfo": ("gid", "groupname"),
    "cns_symlinks": ("fileid", "linkname"),
    "cns_user_metadata": ("u_fileid", "comments"),
}
_NUMBERS = frozenset(
    [
        "fileid",
        "u_fileid",
        "userid",
        "gid",
        "rowid",
        "parent_fileid",
        "filemode",
        "owner_uid",
        "filesize",
        "nlink",
        "atime",
        "mtime",
        "ctime",
        "banned",
    ]
)
_NEVER_NULL = frozenset(["fileid", "u_fileid", "userid", "gid", "rowid", "filemode"])
_ESSENTIAL = ("Cns_file_replica", "Cns_userinfo", "Cns_groupinfo")
_number = re.compile(rb"-?\d+").fullmatch
_DAY = 86400


class Lfc:
    """A `Source` over a reader of an LFC's tables. Raises BadSource when they are not an LFC's.

    `partial` takes a dump without users, groups or replicas for what it is; otherwise it is refused. `now` is what counts as
    the future.
    """

    kind = "lfc"
    tables = {  # noqa: RUF012 - what the protocol `Source` asks for is no ClassVar
        "Cns_file_metadata": "entry",
        "Cns_file_replica": "replica",
        "Cns_symlinks": "link",
        "Cns_user_metadata": "comment",
        "Cns_userinfo": "user",
        "Cns_groupinfo": "group",
    }

    def __init__(self, reader: Reader, *, partial: bool = False, now: float | None = None) -> None:
        self.info: SourceInfo = reader.info
        self.read: dict[str, int] = dict.fromkeys(self.tables, 0)
        self._reader = reader
        self._partial = partial
        self._notes = Notes()
        self._names = {t.lower(): t for t in self.tables}
        latest = int(time.time() if now is None else now) + _DAY
        entries = lfc_entries.Entries(self._notes, latest, self.info)
        others = lfc_others.Others(self._notes)
        self._convert = {
            "cns_file_metadata": entries.batch,
            "cns_file_replica": others.replicas,
            "cns_userinfo": others.users,
            "cns_groupinfo": others.groups,
            "cns_symlinks": others.links,
            "cns_user_metadata": others.comments,
        }

    def __iter__(self) -> Iterator[Batch]:
        for rows in self._reader:
            if rows.table == "schema_version":
                self._version(rows)
                continue
            missing = [c for c in _MUST[rows.table] if c not in rows.columns]
            if missing:
                raise BadSource(
                    f"{rows.table} has no column {', '.join(missing)}: this is not an LFC's table", table=rows.table
                )
            first = self.read[self._names[rows.table]]
            self.read[self._names[rows.table]] += rows.count
            good = self._well_formed(rows)
            if good.count:
                yield self._convert[rows.table](good, first)
            notes = self._notes.batch()
            if notes is not None:
                yield notes
        if not self.read["Cns_file_metadata"]:
            found = sorted(self.info.layout) or sorted(self.info.other_tables)
            other = "a DIRAC File Catalog" if any(t.lower() == "fc_files" for t in found) else "something else"
            raise BadSource(
                f"it has no row of Cns_file_metadata: this is a dump of {other} (tables: {', '.join(found[:8]) or 'none'})",
                tables=found[:50],
            )
        self._whole()
        self.info.unknown_columns = self._unknown_columns()

    def _whole(self) -> None:
        """Without its table every file would lose its owner, group or replicas, and no row would tell."""
        present = {t.lower() for t in self.info.layout}
        missing = [t for t in _ESSENTIAL if t.lower() not in present and not self.read[t]]
        if missing and not self._partial:
            raise BadSource(
                f"the dump has no table {' and no '.join(missing)}: take it again with all tables, or pass "
                "--missing-tables if that is how it should be",
                tables=missing,
            )
        self.info.warnings += [f"the dump has no table {t}" for t in missing]

    def _unknown_columns(self) -> dict[str, list[str]]:
        found = {}
        for table, columns in self.info.layout.items():
            known = WANTED.get(table.lower())
            unknown = [c for c in columns if known is not None and c.lower() not in known | _IGNORED]
            if unknown:
                found[table] = unknown
        return found

    def _version(self, rows: Rows) -> None:
        parts = [rows.columns.get(n) or rows.columns.get(n + "_number") or [b"?"] for n in ("major", "minor", "patch")]
        self.info.schema = ".".join((p[0] or b"?").decode("latin-1") for p in parts)

    def _well_formed(self, rows: Rows) -> Rows:
        """The rows whose numbers are numbers; the others are noted with their content."""
        bad: set[int] = set()
        for name in _NUMBERS & rows.columns.keys():
            column = rows.columns[name]
            present = [v for v in column if v is not None] if None in column else cast("Sequence[bytes]", column)
            longest = 20 if name == "filesize" else 18
            strange = b"".join(present).translate(None, b"0123456789-") or max(map(len, present), default=0) > longest
            if strange or (len(present) < rows.count and name in _NEVER_NULL):
                bad.update(i for i, v in enumerate(column) if not _fits(v, longest, name in _NEVER_NULL))
        if not bad:
            return rows
        key, kind = rows.columns[_MUST[rows.table][0]], self.tables[self._names[rows.table]]
        for i in sorted(bad):
            raw = b", ".join(n.encode() + b"=" + (c[i] or b"NULL") for n, c in rows.columns.items())
            self._notes.add(kind, key[i] if _fits(key[i], 18, True) else b"0", "row_malformed", raw)
        keep = [i for i in range(rows.count) if i not in bad]
        return Rows(rows.table, {n: [c[i] for i in keep] for n, c in rows.columns.items()}, len(keep))


def _fits(value: bytes | None, longest: int, needed: bool) -> bool:
    return not needed if value is None else bool(_number(value)) and len(value) <= longest
