"""The LFC's other tables: replicas, links, comments, users, groups."""

from __future__ import annotations

from collections.abc import Sequence

from . import lfc_values as values
from .charset import to_text
from .records import COMMENT, GROUP, LINKS, REPLICA, USER, Batch, Notes, Table
from .rows import Cell, Rows

_STATE = {b"-": b"0", b"U": b"0", b"P": b"2", b"D": b"4"}  # -> position in lading.model.replica.STATES
_STATE_CODE = {b"P": "replica_status_pending", b"D": "replica_status_deleting"}


class Others:
    """Every method turns a batch of rows into records; `first` is how many rows of the table came before."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def replicas(self, rows: Rows, first: int) -> Batch:
        column = rows.columns
        none: Sequence[Cell] = [None] * rows.count
        # A source without row ids (Oracle) numbers them as they come.
        ids = column.get("rowid") or [b"%d" % (first + i + 1) for i in range(rows.count)]
        statuses = column.get("status", none)
        for i in [i for i, v in enumerate(statuses) if v != b"-" and v != b"U"]:
            self._notes.add(
                "replica", ids[i], _STATE_CODE.get(statuses[i] or b"", "replica_status_unknown"), statuses[i]
            )
        sfns = [v or b"" for v in column["sfn"]]
        parts = values.sfn_parts
        hosts = [m[1] if (m := parts(v)) else None for v in sfns]
        upper = {h for h in set(hosts) if h is not None and b"." in h and h != h.lower()}
        if None in hosts or upper:
            for i, host in enumerate(hosts):
                if host is None:
                    self._notes.add("replica", ids[i], "replica_sfn_no_scheme", sfns[i])
            for i, host in enumerate(hosts):
                if host in upper:
                    self._notes.add("replica", ids[i], "replica_sfn_upper_host", sfns[i])
        joined = b"".join(sfns)
        pfns: Sequence[Cell] = sfns
        if joined.translate(None, _PLAIN_SFN) or b".." in joined or b"" in sfns or max(map(len, sfns)) > 4000:
            pfns = [
                self._pfn(ids[i], v) if v.translate(None, _PLAIN_SFN) or b".." in v or not v or len(v) > 4000 else v
                for i, v in enumerate(sfns)
            ]
        return Batch(
            REPLICA,
            [
                ids, column["fileid"], _filled(column.get("host", none)), _filled(hosts), pfns, [_STATE.get(v or b"", b"2") for v in statuses],
                _text(statuses), _text(column.get("f_type", none)), _text(column.get("r_type", none)), _text(column.get("setname", none)),
                _seconds(column.get("ctime", none)), _seconds(column.get("atime", none)),
            ],
        )  # fmt: skip

    def _pfn(self, row_id: Cell, sfn: bytes) -> bytes:
        pfn, codes = values.pfn(sfn)
        for code in codes:
            # The blank's note has the PFN: it is compared with the file's LFN later.
            self._notes.add(
                "replica", row_id, code, pfn if code == "replica_sfn_blank" else sfn, exact=sfn if pfn != sfn else None
            )
        return pfn

    def links(self, rows: Rows, _first: int) -> Batch:
        targets = []
        for row_id, value in zip(rows.columns["fileid"], rows.columns["linkname"], strict=True):
            data = (value or b"").rstrip(b"\0")
            text, _ = to_text(data)
            clean = values.escape_controls(text)
            if clean.encode() != data:
                self._notes.add("entry", row_id, "target_escaped", data, exact=data)
            targets.append(clean.encode())
        return Batch(LINKS, [rows.columns["fileid"], targets])

    def comments(self, rows: Rows, _first: int) -> Batch:
        texts = []
        for row_id, value in zip(rows.columns["u_fileid"], rows.columns["comments"], strict=True):
            text, _ = to_text(value or b"")
            if "\0" in text:
                self._notes.add("comment", row_id, "comment_escaped", value, exact=value)
                text = text.replace("\0", "%00")
            texts.append(text.encode())
        return Batch(COMMENT, [rows.columns["u_fileid"], texts])

    def users(self, rows: Rows, _first: int) -> Batch:
        return self._people(USER, "userid", "username", rows)

    def groups(self, rows: Rows, _first: int) -> Batch:
        return self._people(GROUP, "gid", "groupname", rows)

    def _people(self, table: Table, key: str, name: str, rows: Rows) -> Batch:
        banned = [b"1" if v not in (None, b"", b"0") else b"0" for v in rows.columns.get("banned", [None] * rows.count)]
        return Batch(table, [rows.columns[key], [v or b"" for v in _text(rows.columns[name])], banned])


_PLAIN_SFN = bytes(i for i in range(0x21, 0x7F))


def _filled(column: Sequence[Cell]) -> Sequence[Cell]:
    """Text without NULLs: hosts are grouped and joined by."""
    text = _text(column)
    return [v or b"" for v in text] if None in text else text


def _seconds(column: Sequence[Cell]) -> Sequence[Cell]:
    """Replica times; beyond the year 2286 they would not fit once in microseconds, and mean nothing."""
    if max(map(len, filter(None, column)), default=0) <= 10:
        return column
    return [v if v is None or len(v) <= 10 else None for v in column]


def _text(column: Sequence[Cell]) -> Sequence[Cell]:
    """Any bytes as text PostgreSQL takes."""
    joined = b"".join(filter(None, column))
    if joined.isascii() and b"\0" not in joined:
        return column
    return [None if v is None else to_text(v)[0].replace("\0", "%00").encode() for v in column]
