"""The columns of the LFC's tables by schema version, for dumps that don't tell them (mysqldump --compact --no-create-info).

Sites altered their tables, so nothing is assumed: a person names the version, and a row of another width is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from lading.model.errors import InvalidRequest

from .mysql_syntax import Column

# `!` marks integers, `*` the columns no client converts.
_3_1_0 = {
    "cns_file_metadata": "rowid! fileid! parent_fileid! guid name filemode! nlink! owner_uid! gid! filesize! atime! mtime! ctime! "
    "fileclass! status csumtype csumvalue acl*",
    "cns_file_replica": "rowid! fileid! nbaccesses! ctime! atime! ptime! ltime! r_type status f_type setname poolname host fs sfn*",
    "cns_groupinfo": "rowid! gid! groupname banned!",
    "cns_userinfo": "rowid! userid! username user_ca banned!",
    "cns_symlinks": "rowid! fileid! linkname*",
    "cns_user_metadata": "rowid! u_fileid! comments",
    "schema_version": "major! minor! patch!",
}
_1_1_1 = _3_1_0 | {
    "cns_file_replica": "rowid! fileid! nbaccesses! atime! ptime! status f_type poolname host fs sfn*",
    "cns_groupinfo": "rowid! gid! groupname",
    "cns_userinfo": "rowid! userid! username",
    "schema_version": "major_number! minor_number! patch_number!",
}
_WITH_XATTR = ("cns_file_metadata", "cns_file_replica", "cns_groupinfo", "cns_userinfo")
_3_2_0 = _3_1_0 | {table: f"{_3_1_0[table]} xattr" for table in _WITH_XATTR}
VERSIONS = {"1.1.1": _1_1_1, "3.1.0": _3_1_0, "3.2.0": _3_2_0}


def layout(version: str | None) -> Callable[[str], list[Column] | None]:
    """A function from a table's name to its columns in this schema version, or None. Raises InvalidRequest."""
    if version is None:
        return lambda _table: None
    if version not in VERSIONS:
        raise InvalidRequest(f"--schema-version {version!a}: choose one of {', '.join(VERSIONS)}")
    tables = VERSIONS[version]

    def columns(table: str) -> list[Column] | None:
        return [_column(word) for word in tables[table].split()] if table in tables else None

    return columns


def advice(table: str, width: int) -> str:
    """What to say about a table whose columns are not told and whose rows have so many values."""
    fitting = [v for v, tables in VERSIONS.items() if len(tables.get(table, "").split()) == width]
    if not fitting:
        return f"its rows have {width} values, which is no LFC's layout known here: dump with --complete-insert"
    return f"pass --schema-version (its {width} values fit {' and '.join(fitting)}), or dump with --complete-insert"


def _column(word: str) -> Column:
    name = word.rstrip("!*")
    return Column(name, "unknown" if word == name else None, integer=word.endswith("!"))
