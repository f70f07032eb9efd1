"""What a row of a manifest must become, reckoned from the manifest and the maps alone, with nothing of the importer."""

from __future__ import annotations

import csv
import gzip
import re
from functools import cache
from typing import Any

from tests.migrations.sample import FOLDER

KINDS = {"dir": "directory", "symlink": "link", "file": "file"}
STATES = {"-": "available", "U": "available", "P": "suspect", "D": "deleting"}
DAY = 86400


def table(name: str) -> dict[str, str]:
    with open(FOLDER / f"{name}.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {r[0]: r[1] for r in rows}


USERS, GROUPS, HOSTS = table("dn_map"), table("group_map"), table("se_map")
RULES = (("/grid/biomed/creatis/vip/data", "/biomed/user/c/creatis/vip/data"), ("/grid", ""))
NEW = "a new GUID"


@cache
def named(table: str) -> dict[int, str]:
    """The DN or FQAN of every uid or gid that has a row: the manifest tells only those with files."""
    dump = gzip.decompress((FOLDER / "lfc_main.sql.gz").read_bytes()).decode("utf-8", "replace")
    rows = re.search(rf"INSERT INTO `{table}` VALUES (.*)", dump)
    assert rows is not None
    return {int(i): name for i, name in re.findall(r"\(\d+,(\d+),'((?:[^'\\]|\\.)*)'", rows[1])}


def text(data: bytes) -> str:
    """UTF-8, or else latin1 as MySQL has it; no control characters, written as %XX."""
    try:
        decoded = data.decode()
    except UnicodeDecodeError:
        decoded = "".join(chr(b) if b in b"\x81\x8d\x8f\x90\x9d" else bytes([b]).decode("cp1252") for b in data)
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda m: f"%{ord(m[0]):02X}", decoded)


def moved(path: str) -> str:
    for old, new in RULES:
        if path == old or path.startswith(old + "/"):
            return new + path[len(old) :]
    return path


def lfn(sample: dict[str, Any]) -> str:
    return moved("/".join(text(name) for name in bytes.fromhex(sample["path_hex"]).split(b"/"))) or "/"


def size(sample: dict[str, Any]) -> int | None:
    given = sample["size"]
    return given if sample["type"] == "file" and given is not None and given < 2**63 else None


def checksums(sample: dict[str, Any]) -> dict[str, str]:
    kind, value = (sample["csumtype"] or "").upper(), sample["csumvalue"] or ""
    digits = value.lower().removeprefix("0x") if kind == "AD" else value.lower()
    if sample["type"] != "file":
        return {}
    if kind == "CS" and value.isdigit():
        return {"cksum": f"{int(value):08x}"}
    if not re.fullmatch(r"[0-9a-f]+", digits):
        return {}
    if kind == "AD" and len(digits) <= 8:
        return {"adler32": digits.zfill(8)}
    return {"md5": digits} if kind == "MD" and len(digits) == 32 else {}


def guid(sample: dict[str, Any]) -> str | None:
    given = (sample["guid"] or "").lower()
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", given):
        return given
    return NEW if sample["type"] == "file" else None


def times(sample: dict[str, Any], now: float) -> dict[str, int]:
    """A time that can't be is the latest of the entry's others."""
    given = {n: sample[n] for n in ("atime", "mtime", "ctime")}
    sound = {n: t for n, t in given.items() if t is not None and 0 < t <= now + DAY}
    return {n: sound.get(n, max(sound.values(), default=0)) * 1_000_000 for n in given}


def dn(given: str) -> str:
    """One spelling of the same person: a proxy is its owner's, and e-mail has three words."""
    return re.sub(r"/(Email|E)=", "/emailAddress=", re.sub(r"(/CN=(limited )?proxy)+$", "", given))


def user(uid: int, given: str | None) -> str:
    """By the map as written or in another spelling; else a placeholder, one for all spellings."""
    if uid == 0 and given is None:
        return "admin"
    if given is None:
        return f"lfc-uid-{uid}"
    alike = {dn(d): name for d, name in USERS.items()}
    first = next((i for i, d in named("Cns_userinfo").items() if dn(d) == dn(given)), uid)
    return USERS.get(given) or alike.get(dn(given)) or f"lfc-uid-{first}"


def group(gid: int, given: str | None) -> str:
    if gid == 0 and given is None:
        return "admin"
    fqan = "/" + (given or "").removesuffix("/Role=NULL")
    return GROUPS.get("/" + (given or "")) or GROUPS.get(fqan) or f"lfc-gid-{gid}"


def acl(given: str | None, users: dict[int, str], groups: dict[int, str]) -> set[str]:
    """The entries beside the mode's own; a mask where somebody is named; a default whole."""
    access, default = set(), set()
    words = {"A": "user", "B": "user", "C": "group", "D": "group", "E": "mask", "F": "other"}
    parts = (given or "").split(",") if given else []
    for part in parts:
        tag, perm, number = part[0].upper(), int(part[1]), int(part[2:])
        who = {"B": user(number, users.get(number)), "D": group(number, groups.get(number))}.get(tag, "")
        rights = f"{words[tag]}:{who}:" + "".join(c if perm & b else "-" for c, b in (("r", 4), ("w", 2), ("x", 1)))
        if part[0].islower():
            default.add("default:" + rights)
        elif tag in "BDE":
            access.add(rights)
    if not any(p[0] in "BD" for p in parts):
        access.clear()
    return access | default


def sfn(given: str) -> bytes:
    """The manifest has hexadecimal digits for one that is not UTF-8."""
    return bytes.fromhex(given) if re.fullmatch(r"(?:[0-9a-f]{2})+", given) else given.encode()


def replicas(sample: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{element: its replica}: of several on one, the available before the others and then the first; the others stand in `also`."""
    found: dict[str, list[dict[str, Any]]] = {}
    for r in sample["replicas"]:
        match = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://([^/:?#]+)", (raw := sfn(r["sfn"])).decode("latin-1"))
        if match is None or r["status"] not in STATES:
            continue  # quarantined
        host, inner = (r["host"] or "").lower(), match[1].lower()
        named = {name.lower(): name for name in HOSTS.values()}
        element = named.get(host) or HOSTS.get(inner) or re.sub(r"[^\w.-]", "_", inner)
        legacy = {"status": r["status"] if r["status"] != "-" else None, "f_type": r["f_type"], "r_type": r["r_type"]}
        legacy |= {"setname": r["setname"] or None, "host": r["host"] if r["host"] != match[1] else None}
        pfn = text(raw.rstrip(b"\0"))
        legacy["sfn_hex"] = raw.hex() if pfn.encode() != raw else None
        seconds = {n: r[n] and r[n] * 1_000_000 for n in ("ctime", "atime")}
        found.setdefault(element, []).append(
            {"state": STATES[r["status"]], "pfn": pfn, **seconds, "rowid": r["rowid"],
             "legacy": {k: v for k, v in legacy.items() if v is not None}}
        )  # fmt: skip
    kept: dict[str, dict[str, Any]] = {}
    for element, rows in found.items():
        rows.sort(key=lambda r: (list(STATES.values()).index(r["state"]), r["rowid"]))
        first, *others = rows
        if others:
            first["legacy"]["also"] = [r["pfn"] for r in sorted(others, key=lambda r: r["rowid"])]
        kept[element] = {k: v for k, v in first.items() if k != "rowid"}
    return kept
