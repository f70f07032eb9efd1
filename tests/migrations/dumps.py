"""Small dumps made row by row, for tests of what a whole tree does not have."""

from __future__ import annotations

from collections.abc import Iterable

HEAD = b"-- MySQL dump 10.13  Distrib 5.1.73\n/*!40101 SET NAMES binary */;\n"
END = b"-- Dump completed on 2015-06-15  8:00:00\n"
COLUMNS = {
    "Cns_file_metadata": "fileid parent_fileid guid name filemode nlink owner_uid gid filesize atime mtime ctime status csumtype csumvalue acl",
    "Cns_file_replica": "rowid fileid ctime atime r_type status f_type setname host sfn",
    "Cns_userinfo": "userid username banned",
    "Cns_groupinfo": "gid groupname banned",
    "Cns_symlinks": "fileid linkname",
    "Cns_user_metadata": "u_fileid comments",
}
_NUMBERS = "fileid parent_fileid filemode nlink owner_uid gid atime mtime ctime rowid userid banned u_fileid"
_BIG = "filesize"
_BYTES = "acl sfn linkname"
_ESCAPES = {0: b"\\0", 10: b"\\n", 13: b"\\r", 26: b"\\Z", 34: b'\\"', 39: b"\\'", 92: b"\\\\"}
Value = bytes | str | int | None


def literal(value: Value) -> bytes:
    if value is None:
        return b"NULL"
    if isinstance(value, int):
        return b"%d" % value
    data = value.encode() if isinstance(value, str) else value
    return b"'" + b"".join(_ESCAPES.get(b, bytes([b])) for b in data) + b"'"


def create(table: str) -> bytes:
    kinds = dict.fromkeys((_NUMBERS + " " + _BIG).split(), "bigint(20)") | dict.fromkeys(_BYTES.split(), "blob")
    columns = ",\n".join(f"  `{c}` {kinds.get(c, 'varchar(255) COLLATE latin1_bin')}" for c in COLUMNS[table].split())
    return f"CREATE TABLE `{table}` (\n{columns}\n) ENGINE=InnoDB DEFAULT CHARSET=latin1;\n".encode()


def insert(table: str, rows: Iterable[Iterable[Value]]) -> bytes:
    values = b",".join(b"(" + b",".join(map(literal, row)) + b")" for row in rows)
    return b"INSERT INTO `%s` VALUES %s;\n" % (table.encode(), values) if values else b""


def entry(fileid: int, parent: int | None, name: Value, **given: Value) -> list[Value]:
    """A row of Cns_file_metadata, of a file unless `filemode` says otherwise."""
    usual: dict[str, Value] = {
        "fileid": fileid, "parent_fileid": parent, "guid": f"00000000-0000-0000-0000-{fileid:012x}", "name": name, "filemode": 0o100664,
        "nlink": 1, "owner_uid": 101, "gid": 101, "filesize": 5, "atime": 1400000000, "mtime": 1400000000, "ctime": 1400000000,
        "status": "-", "csumtype": "AD", "csumvalue": "00000001", "acl": None,
    }  # fmt: skip
    return [*(usual | given).values()]


def directory(fileid: int, parent: int | None, name: Value, **given: Value) -> list[Value]:
    return entry(fileid, parent, name, **({"filemode": 0o40775, "guid": None, "csumtype": "", "csumvalue": ""} | given))


def replica(rowid: int, fileid: int, sfn: Value, host: Value = "se.example.org") -> list[Value]:
    return [rowid, fileid, 1400000000, 1400000000, "P", "-", "P", None, host, sfn]


ROOT = [directory(2, 0, "/"), directory(3, 2, "grid"), directory(4, 3, "biomed")]
PEOPLE = {"Cns_userinfo": [[101, "/DC=org/CN=Ann Lee", 0]], "Cns_groupinfo": [[101, "biomed", 0]]}


def dump(entries: Iterable[Iterable[Value]], **tables: Iterable[Iterable[Value]]) -> bytes:
    """A whole dump: /grid/biomed has fileid 4, and the given entries come beside it."""
    rows = {"Cns_file_metadata": [*ROOT, *entries], "Cns_file_replica": [], **PEOPLE, **tables}
    return HEAD + b"".join(create(t) + insert(t, rows.get(t, [])) for t in COLUMNS) + END
