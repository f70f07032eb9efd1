"""The catalogue and the vaults of the fake zone, with what iRODS 5.0.2 was seen to do (also where it is not nice)."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
import zlib
from dataclasses import dataclass, field
from itertools import count

import irods.exception as ex

STALE, GOOD, BEING_WRITTEN = "0", "1", "2"
NO_GOOD_REPLICA = -166000  # the client knows no name for it, and raises KeyError
NOTICED = 0.2  # seconds until the server notices that a client is gone (0.5 with the real one)


class Refused(Exception):
    """The server's answer is this code, and perhaps a message."""

    def __init__(self, code: int | type[ex.iRODSException], text: str | None = None) -> None:
        super().__init__(code)
        self.code = code if isinstance(code, int) else int(code.code)
        self.text = text


@dataclass
class Replica:
    number: int
    resource: str
    status: str = BEING_WRITTEN
    data: bytearray = field(default_factory=bytearray)
    size: int = 0  # as the catalogue has it
    checksum: str = ""
    modified: int = 0


@dataclass
class Entry:
    id: int
    replicas: list[Replica]
    avus: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def locked(self) -> bool:
        return any(replica.status == BEING_WRITTEN for replica in self.replicas)

    def good(self) -> Replica:
        for replica in self.replicas:
            if replica.status == GOOD:
                return replica
        raise Refused(NO_GOOD_REPLICA)


@dataclass
class Opened:
    path: str
    entry: Entry
    replica: Replica
    writes: bool
    options: dict[str, str]
    at: int = 0


class Zone:
    """`scheme`: what it hashes with. `hidden`: paths our user may not see. `root_of_all`: collections made at first."""

    def __init__(self, *collections: str, scheme: str = "sha2") -> None:
        self.lock = threading.RLock()
        self.scheme = scheme
        self.entries: dict[str, Entry] = {}
        self.collections = {"/", *collections}
        for path in collections:
            while path := path.rpartition("/")[0]:
                self.collections.add(path)
        self.hidden: set[str] = set()
        self.full = False
        self._ids = count(10_000)

    def seen(self, path: str) -> bool:
        return not any(path == hidden or path.startswith(f"{hidden}/") for hidden in self.hidden)

    def entry(self, path: str, missing: type[ex.iRODSException] = ex.OBJ_PATH_DOES_NOT_EXIST) -> Entry:
        if path not in self.entries or not self.seen(path):
            raise Refused(missing)
        return self.entries[path]

    def put(self, path: str, *replicas: tuple[str, bytes]) -> Entry:
        """What others have there: (status, content) of each replica."""
        entry = Entry(next(self._ids), [])
        for number, (status, data) in enumerate(replicas):
            replica = Replica(number, f"resource{number}", status, bytearray(data), len(data))
            replica.modified = int(time.time())
            entry.replicas.append(replica)
        self.entries[path] = entry
        return entry

    # what clients ask for

    def open(self, path: str, *, write: bool, create: bool, truncate: bool, options: dict[str, str]) -> Opened:
        if not write:
            entry = self.entry(path)
            if entry.locked:
                raise Refused(ex.HIERARCHY_ERROR)
            wanted = options.get("rescName") or options.get("destRescName")
            named = [replica for replica in entry.replicas if replica.resource == wanted]
            return Opened(path, entry, named[0] if named else entry.good(), False, options)  # also when it is stale
        self._check_free_for(path)
        if path in self.entries:
            entry = self.entry(path, ex.CAT_NO_ACCESS_PERMISSION)
            if entry.locked:
                raise Refused(ex.HIERARCHY_ERROR)
            replica = entry.good()
            for other in entry.replicas:
                other.status, other.checksum = STALE, ""
            replica.status = BEING_WRITTEN
            if truncate:
                replica.data.clear()
        elif create:
            replica = Replica(0, options.get("destRescName", "resource0"))
            self.entries[path] = entry = Entry(next(self._ids), [replica])
        else:
            raise Refused(ex.OBJ_PATH_DOES_NOT_EXIST)
        replica.modified = int(time.time())
        return Opened(path, entry, replica, True, options)

    def write(self, opened: Opened, data: bytes) -> int:
        if self.full:
            raise Refused(ex.UNIX_FILE_WRITE_ERR.code - 28)  # ENOSPC
        opened.replica.data[opened.at : opened.at + len(data)] = data
        opened.at += len(data)
        return len(data)

    def close(self, opened: Opened) -> None:
        if not opened.writes:
            return
        replica = opened.replica
        replica.size, replica.modified, replica.status = len(replica.data), int(time.time()), GOOD
        expected = opened.options.get("verifyChksum")
        if expected is not None and expected != self.hashed(replica.data):
            replica.status, replica.size = STALE, 0  # and what was there before is lost
            replica.data.clear()
            raise Refused(ex.USER_CHKSUM_MISMATCH)
        if "regChksum" in opened.options or expected is not None:
            replica.checksum = self.hashed(replica.data)

    def abandon(self, opened: Opened) -> None:
        """The client is gone; some time after, the server knows."""
        if opened.writes and opened.replica.status == BEING_WRITTEN:

            def noticed() -> None:
                opened.replica.status, opened.replica.size = STALE, len(opened.replica.data)

            timer = threading.Timer(NOTICED, noticed)
            timer.daemon = True
            timer.start()

    def unlink(self, path: str) -> None:
        entry = self.entry(path, ex.CAT_NO_ROWS_FOUND)
        if entry.locked:
            raise Refused(ex.HIERARCHY_ERROR)
        del self.entries[path]

    def rename(self, source: str, target: str) -> None:
        """First the new name, in the old collection, then the new collection. When that is missing, the new name may
        stay: it is not rolled back, and the agent commits it when the client leaves."""
        entry = self.entry(source)
        if entry.locked:
            raise Refused(ex.LOCKED_DATA_OBJECT_ACCESS)
        here, there = source.rpartition("/")[0], target.rpartition("/")[0]
        between = f"{here}/{target.rpartition('/')[2]}"
        if between != source and (between in self.entries or between in self.collections):
            raise Refused(ex.CAT_NAME_EXISTS_AS_DATAOBJ)
        if there not in self.collections:
            self.entries[between] = self.entries.pop(source)
        self._check_free_for(target)
        if target in self.entries:
            raise Refused(ex.CAT_NAME_EXISTS_AS_DATAOBJ)
        self.entries[target] = self.entries.pop(source)

    def copy(self, source: str, target: str, options: dict[str, str]) -> None:
        """The checksum stays behind, unless one is asked for."""
        entry = self.entry(source)
        data = entry.good().data
        self._check_free_for(target)
        if target in self.entries and "forceFlag" not in options:
            raise Refused(ex.OVERWRITE_WITHOUT_FORCE_FLAG)
        made = self.put(target, (GOOD, bytes(data))).replicas[0]
        if "regChksum" in options:
            made.checksum = self.hashed(made.data)

    def chksum(self, path: str, options: dict[str, str]) -> str | None:
        entry = self.entry(path, ex.CAT_NO_ROWS_FOUND)
        replica = entry.good()
        if "verifyChksum" in options:
            if not replica.checksum or replica.checksum != self.hashed(replica.data):
                code = ex.USER_CHKSUM_MISMATCH if replica.checksum else ex.CAT_NO_CHECKSUM_FOR_REPLICA
                text = f'[{{"error_code": {code.code}, "message": "of replica 0", "severity": "error"}}]'
                raise Refused(ex.CHECK_VERIFICATION_RESULTS, text)
            return None
        if not replica.checksum or "forceChksum" in options:
            replica.checksum = self.hashed(replica.data)
        return replica.checksum

    def make(self, path: str) -> None:
        wanted = []
        while path not in self.collections:
            if not self.seen(path) or path.count("/") < 2:
                raise Refused(ex.SYS_INVALID_INPUT_PARAM)
            if path in self.entries:
                raise Refused(ex.CAT_NAME_EXISTS_AS_DATAOBJ)
            wanted.append(path)
            path = path.rpartition("/")[0]
        self.collections.update(wanted)

    def remove(self, path: str) -> None:
        below = f"{path}/"
        self.entries = {name: entry for name, entry in self.entries.items() if not name.startswith(below)}
        self.collections = {name for name in self.collections if name != path and not name.startswith(below)}

    def set_avu(self, operation: str, path: str, name: str, value: str, unit: str) -> None:
        entry = self.entry(path, ex.CAT_UNKNOWN_FILE)
        if not name or not value:
            raise Refused(ex.CAT_INVALID_ARGUMENT)
        if len(value) > 2700:
            raise Refused(ex.CAT_SQL_ERR)
        if operation == "set":
            entry.avus = [avu for avu in entry.avus if avu[0] != name]
        if operation in ("rm", "remove"):
            if (name, value, unit) not in entry.avus:
                raise Refused(ex.CAT_SUCCESS_BUT_WITH_NO_INFO)
            entry.avus.remove((name, value, unit))
        elif (name, value, unit) not in entry.avus:
            entry.avus.append((name, value, unit))

    def hashed(self, data: bytes | bytearray) -> str:
        if self.scheme == "md5":
            return hashlib.md5(data).hexdigest()
        if self.scheme == "adler32":
            return f"adler32:{zlib.adler32(data):08x}"
        digest = {"sha2": hashlib.sha256, "sha512": hashlib.sha512, "sha1": hashlib.sha1}[self.scheme](data).digest()
        return f"{self.scheme}:{base64.b64encode(digest).decode()}"

    def _check_free_for(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        if path in self.collections:
            raise Refused(ex.CAT_NAME_EXISTS_AS_COLLECTION)
        if len(name.encode()) > 255:
            raise Refused(ex.UNIX_FILE_CREATE_ERR.code - 36)  # ENAMETOOLONG
        if parent not in self.collections:
            raise Refused(ex.CAT_UNKNOWN_COLLECTION)
        if not self.seen(parent):
            raise Refused(ex.CAT_NO_ACCESS_PERMISSION)
