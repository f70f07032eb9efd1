"""A dump of any size, by multiplying a small one: `python -m tests.migrations.big BIG.sql --files 1000000`.

Every copy gets ids, GUIDs and SFNs of its own, and its own top-level directories beside the first ones, so that the tree is
as wide and as deep as the small one's, N times, with N times its damage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import BinaryIO

from migrations.legacy.dump_input import DumpInput
from migrations.legacy.lfc import WANTED
from migrations.legacy.mysqldump import MysqlDump
from migrations.legacy.rows import Cell
from tests.migrations.sample import DUMP

_FILES = 10_072  # that an import of the bundled dump brings in
_STEP = 10_000_000  # larger than any fileid in the small dump
_COLUMNS = {
    "cns_file_metadata": "fileid parent_fileid guid name filemode nlink owner_uid gid filesize atime mtime ctime status csumtype csumvalue acl",
    "cns_file_replica": "rowid fileid ctime atime r_type status f_type setname host sfn",
    "cns_userinfo": "userid username banned",
    "cns_groupinfo": "gid groupname banned",
    "cns_symlinks": "fileid linkname",
    "cns_user_metadata": "u_fileid comments",
}
_IDS = {"fileid", "parent_fileid", "rowid", "u_fileid"}
_NUMBERS = _IDS | {"filemode", "nlink", "owner_uid", "gid", "filesize", "atime", "mtime", "ctime", "userid", "banned"}
_ROOTS = (b"0", b"2", b"3")  # parent of the root, the root, /grid


def _cell(name: str, value: Cell, k: int, top: bool) -> bytes:
    if value is None:
        return b"NULL"
    if name in _NUMBERS:
        return (
            b"%d" % (int(value) + k * _STEP)
            if k and name in _IDS and not (value in _ROOTS and name != "rowid")
            else value
        )
    if k and name == "guid" and len(value) == 36:
        value = (
            value[:24] + b"%012x" % ((int(value[24:], 16) + k * 7919) % 2**48)
            if value.isascii() and value[8:9] == b"-"
            else value
        )
    if k and top and name == "name":
        value += b"-%d" % k
    if k and name == "sfn" and value:
        value += b".%d" % k
    for raw, escaped in ((b"\\", b"\\\\"), (b"'", b"\\'"), (b"\0", b"\\0"), (b"\n", b"\\n"), (b"\r", b"\\r")):
        value = value.replace(raw, escaped)
    return b"'" + value + b"'"


def write(small: str, copies: int, out: BinaryIO) -> None:
    """The multiplied dump, as mysqldump 5.x lays it out: one INSERT of about 1 MB per line."""
    tables: dict[str, list[tuple[Cell, ...]]] = {t: [] for t in _COLUMNS}
    for rows in MysqlDump(DumpInput(small), WANTED):
        if rows.table in tables:
            columns = _COLUMNS[rows.table].split()
            tables[rows.table] += zip(*(rows.columns[c] for c in columns), strict=True)
    out.write(b"-- MySQL dump 10.13  Distrib 5.1.73\n/*!40101 SET NAMES binary */;\n")
    for table, rows_ in tables.items():
        names = _COLUMNS[table].split()
        kinds = [
            "bigint" if c in _NUMBERS else "blob" if c in ("sfn", "acl", "linkname") else "varchar(255)" for c in names
        ]
        out.write(b"CREATE TABLE `%s` (\n" % table.encode())
        out.write(b",\n".join(b"  `%s` %s" % (c.encode(), k.encode()) for c, k in zip(names, kinds, strict=True)))
        out.write(b"\n) ENGINE=InnoDB DEFAULT CHARSET=latin1;\n")
        line: list[bytes] = []
        size = 0
        for row in _copies(names, rows_, copies if "fileid" in names or "u_fileid" in names else 1):
            line.append(row)
            size += len(row)
            if size > 1_000_000:
                out.write(b"INSERT INTO `%s` VALUES %s;\n" % (table.encode(), b",".join(line)))
                line, size = [], 0
        if line:
            out.write(b"INSERT INTO `%s` VALUES %s;\n" % (table.encode(), b",".join(line)))
    out.write(b"-- Dump completed\n")


def _copies(names: list[str], rows: list[tuple[Cell, ...]], copies: int) -> Iterator[bytes]:
    parent = names.index("parent_fileid") if "parent_fileid" in names else None
    for k in range(copies):
        for row in rows:
            if parent is not None and k and row[parent] in _ROOTS[:2]:
                continue
            top = parent is not None and row[parent] == b"3"
            yield b"(" + b",".join(_cell(n, v, k, top) for n, v in zip(names, row, strict=True)) + b")"


def generate(path: str, files: int, small: str = str(DUMP)) -> int:
    """Write a dump of at least so many files to `path` (`-` is the standard output); how many an import brings in.

    It is the bundled dump's tree and damage, so its maps are the bundled ones. Constant memory, whatever the size.
    """
    copies = max(1, -(-files // _FILES))
    if path == "-":
        write(small, copies, sys.stdout.buffer)
    else:
        with open(path, "wb") as out:
            write(small, copies, out)
    return copies * _FILES


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="where to write the dump; - for the standard output")
    parser.add_argument("--files", type=int, default=200_000, help="at least so many")
    parser.add_argument("--small", default=str(DUMP), help="the dump to multiply")
    given = parser.parse_args()
    print(f"{generate(given.file, given.files, given.small):,} files", file=sys.stderr)
