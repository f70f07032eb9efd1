"""How files, directories and links look on a terminal."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from ..model.file import Kind
from . import output
from .output import moment, size

if TYPE_CHECKING:
    from ..model.file import Entry
    from .output import Output

_TYPE = {Kind.FILE: stat.S_IFREG, Kind.DIRECTORY: stat.S_IFDIR, Kind.LINK: stat.S_IFLNK}
_MARK = {Kind.FILE: "", Kind.DIRECTORY: "/", Kind.LINK: "@"}


def mode(entry: Entry) -> str:
    """`drwxr-x---`, with a `+` when there is more to it (an ACL)."""
    return stat.filemode(_TYPE[entry.kind] | entry.mode) + ("+" if entry.acl else "")


def listing(out: Output, long: bool) -> None:
    """Prepare the columns of `ls`."""
    if long:
        out.table("mode", ">replicas", "owner", "group", ">size", "modified (UTC)", "name")
    else:
        out.table("")


def listed(out: Output, entry: Entry, long: bool, heading: str) -> None:
    """One row of `ls`; `heading` is the directory it stands in when several are listed."""
    name = entry.lfn if heading or (entry.kind is Kind.DIRECTORY and entry.lfn == "/") else entry.lfn.rpartition("/")[2]
    name += _MARK[entry.kind]
    if long:
        if entry.target is not None:
            name = f"{name[:-1]} -> {entry.target}"
        count = entry.replicas if entry.kind is Kind.FILE else ""
        amount = size(entry.size) if entry.kind is Kind.FILE else ""
        out.row(entry, mode(entry), count, entry.owner, entry.group, amount, moment(entry.mtime), name)
    else:
        out.row(entry, name)


def facts(out: Output, entry: Entry | None) -> None:
    """Everything about one entry."""
    if entry is None:
        return
    told: dict[str, object] = {"LFN": entry.lfn, "kind": entry.kind.value}
    if entry.kind is Kind.FILE:
        told["size"] = f"{size(entry.size)} ({entry.size} bytes)" if entry.size is not None else "unknown"
        told |= {
            "GUID": entry.guid,
            **entry.checksums,
            "replicas": entry.replicas,
            "status": entry.status.value,
        }
    told |= {
        "target": entry.target,
        "owner": f"{entry.owner}:{entry.group}",
        "mode": f"{mode(entry)} ({entry.mode:04o})",
        "ACL": entry.acl,
        "created": moment(entry.ctime),
        "modified": moment(entry.mtime),
        "comment": entry.comment,
        "metadata": entry.metadata,
    }
    output.facts(out, entry, told)
