"""Cns_file_metadata: directories, files and links, a batch at a time.

A column is looked through in one comprehension for the values that need thought, and only those are thought about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from . import lfc_values as values
from .records import DIRECTORY, ENTRY, FILE, LINK, Batch, Notes
from .rows import Cell, Rows, SourceInfo

_KINDS = {4: DIRECTORY, 8: FILE, 10: LINK, 0: FILE}
_MIGRATED = b"3"  # position in lading.model.file.FileStatus
_EMPTY = (None, b"")


class Entries:
    """`latest` is the last second that is not the future."""

    def __init__(self, notes: Notes, latest: int, info: SourceInfo) -> None:
        self._notes = notes
        self._latest = b"%d" % latest
        self._info = info
        self._modes: dict[Cell, tuple[bytes, bytes, str | None]] = {}

    def batch(self, rows: Rows, _first: int) -> Batch:
        column = rows.columns
        none: Sequence[Cell] = [None] * rows.count
        ids = column["fileid"]
        kinds, perms = self._kinds(ids, column["filemode"])
        names = self._names(ids, column["name"], kinds)
        guids, raw = self._guids(ids, column.get("guid", none), kinds)
        adler, others = self._checksums(ids, column.get("csumtype", none), column.get("csumvalue", none), kinds)
        times = self._times(ids, [column.get(n, none) for n in ("atime", "mtime", "ctime")])
        self._xattrs(ids, column.get("xattr", none))
        return Batch(
            ENTRY,
            [
                ids, column["parent_fileid"], kinds, names, self._sizes(ids, column.get("filesize", none), kinds), guids, raw, perms,
                [v or b"0" for v in column.get("owner_uid", none)], [v or b"0" for v in column.get("gid", none)], *times,
                self._statuses(ids, column.get("status", none), kinds), adler, others, self._acls(ids, column.get("acl", none)),
                column.get("nlink", none),
            ],
        )  # fmt: skip

    def _kinds(self, ids: Sequence[Cell], modes: Sequence[Cell]) -> tuple[list[Cell], list[Cell]]:
        known = self._modes
        for mode in set(modes) - known.keys():
            number = int(mode or b"0")
            kind = _KINDS.get(number >> 12)
            code = "mode_unknown_type" if kind is None else "mode_no_type" if number >> 12 == 0 else None
            known[mode] = (kind or FILE, b"%d" % (number & 0o7777), code)
        found = [known[m] for m in modes]
        for i, (_, _, code) in enumerate(found):
            if code is not None:
                self._notes.add("entry", ids[i], code, modes[i])
        return [f[0] for f in found], [f[1] for f in found]

    def _names(self, ids: Sequence[Cell], column: Sequence[Cell], kinds: Sequence[Cell]) -> Sequence[Cell]:
        plain = values.plain_name
        odd = [i for i, v in enumerate(column) if v is None or not plain(v)]
        if not odd:
            return column
        names = list(column)
        for i in odd:
            if names[i] == b"/" and kinds[i] == DIRECTORY:  # the root
                continue
            data = names[i] or b""
            names[i], codes = values.name(data, is_file=kinds[i] == FILE, latin1=self._info.latin1)
            for code in codes:
                self._notes.add("entry", ids[i], code, data, exact=data if names[i] != data else None)
        return names

    def _sizes(self, ids: Sequence[Cell], column: Sequence[Cell], kinds: Sequence[Cell]) -> Sequence[Cell]:
        sizes = list(column)
        for i in [i for i, v in enumerate(column) if v is None or v == b"0" or len(v) > 15 or v[0] == 45]:
            value = sizes[i]
            number = int(value) if value is not None else -1
            code = None
            if kinds[i] == FILE:
                if value is None:
                    code = "size_null"
                elif number == 2**64 - 1 or number < 0:
                    code = "size_minus_one"
                elif number >= 2**63:
                    code = "size_over_int63"
                elif number > 2**53:
                    code = "size_huge_valid"
                elif number == 0:
                    code = "zero_size"
            if not 0 <= number < 2**63 or kinds[i] != FILE:
                sizes[i] = None
            if code is not None:
                self._notes.add("entry", ids[i], code, value)
        return sizes

    def _guids(
        self, ids: Sequence[Cell], column: Sequence[Cell], kinds: Sequence[Cell]
    ) -> tuple[list[Cell], list[Cell]]:
        """(GUIDs, the same as they came where they were not in lower case)."""
        lower = values.guid_lower
        guids, raw = list(column), list[Cell]([None]) * len(column)
        for i in [i for i, v in enumerate(column) if v is None or not lower(v)]:
            value = guids[i]
            if not value:
                guids[i] = None
                if kinds[i] == FILE:
                    self._notes.add("entry", ids[i], "guid_empty", value)
            elif lower(value.lower()):
                guids[i], raw[i] = value.lower(), value
            else:
                guids[i] = None
                self._notes.add("entry", ids[i], "guid_malformed", value)
        return guids, raw

    def _checksums(
        self, ids: Sequence[Cell], types: Sequence[Cell], digits: Sequence[Cell], kinds: Sequence[Cell]
    ) -> tuple[list[Cell], list[Cell]]:
        usual = [t == b"AD" and v is not None and len(v) == 8 for t, v in zip(types, digits, strict=True)]
        if b"".join([v for u, v in zip(usual, digits, strict=True) if u and v]).translate(None, b"0123456789abcdef"):
            usual = [u and v is not None and values.hex8(v) is not None for u, v in zip(usual, digits, strict=True)]
        adler: list[Cell] = [v if u else None for u, v in zip(usual, digits, strict=True)]
        others: list[Cell] = [None] * len(adler)
        for i in [i for i, u in enumerate(usual) if not u]:
            kind, value = types[i] or b"", digits[i] or b""
            if (not kind and not value) or kinds[i] != FILE:
                continue
            adler[i], others[i], code = values.checksum(kind, value)
            if code is not None:
                self._notes.add("entry", ids[i], code, kind + b":" + value)
        return adler, others

    def _times(self, ids: Sequence[Cell], columns: list[Sequence[Cell]]) -> list[Sequence[Cell]]:
        """atime, mtime, ctime; one that can't be is replaced by the latest of the others, or 0."""
        latest = self._latest
        odd: set[int] = set()
        for column in columns:
            if (
                None in column
                or set(map(len, cast("Sequence[bytes]", column))) != {10}
                or max(cast("Sequence[bytes]", column)) > latest
            ):
                odd |= {i for i, v in enumerate(column) if v is None or len(v) != 10 or v > latest}
        if not odd:
            return columns
        times = [list(c) for c in columns]
        for i in sorted(odd):
            given = [c[i] for c in columns]
            numbers = [int(v) if v is not None else None for v in given]
            codes = {self._time_code(n) for n in numbers if n is not None} - {None}
            good = max((n for n in numbers if n is not None and self._time_code(n) is None), default=0)
            for c, n in zip(times, numbers, strict=True):
                c[i] = b"%d" % (n if n is not None and self._time_code(n) is None else good)
            for code in sorted(c for c in codes if c is not None):
                self._notes.add("entry", ids[i], code, b",".join(v if v is not None else b"NULL" for v in given))
        return [*times]

    def _time_code(self, seconds: int) -> str | None:
        if seconds < 0:
            return "time_negative"
        if seconds > int(self._latest):
            return "time_future"
        return "time_zero" if seconds == 0 else None

    def _statuses(self, ids: Sequence[Cell], column: Sequence[Cell], kinds: Sequence[Cell]) -> list[Cell]:
        for i in [i for i, v in enumerate(column) if v != b"-"]:
            value = column[i]
            if value in (b"m", b"D"):
                self._notes.add(
                    "entry", ids[i], "file_status_deleted" if value == b"D" else "file_status_migrated", value
                )
            elif value not in _EMPTY and kinds[i] == FILE:
                self._notes.add("entry", ids[i], "file_status_unknown", value)
        return [_MIGRATED if v == b"m" else b"0" for v in column]

    def _acls(self, ids: Sequence[Cell], column: Sequence[Cell]) -> Sequence[Cell]:
        if not any(column):
            return [None] * len(column)
        acls: list[Cell] = [v or None for v in column]
        for i, value in enumerate(acls):
            if value is not None and not values.acl_text(value):
                self._notes.add("entry", ids[i], "acl_malformed", value, exact=value)
                acls[i] = None
        return acls

    def _xattrs(self, ids: Sequence[Cell], column: Sequence[Cell]) -> None:
        for i, value in enumerate(column):
            if value not in (None, b"", b"{}"):
                self._notes.add("entry", ids[i], "xattr_kept_aside", value)
