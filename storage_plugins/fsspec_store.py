"""One fsspec file system, below a root. Everything here blocks, and raises what the file system does, or ours."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import fsspec  # type: ignore[import-untyped]  # fsspec has no type annotations
from fsspec.dircache import DirCache  # type: ignore[import-untyped]  # nor has this

from .base import RESERVED, ObjectInfo, ScanEntry
from .chunks import BATCH
from .errors import InvalidPath, ObjectExists, ObjectNotFound, Transient, Unavailable, Unsupported
from .paths import components, shown

if TYPE_CHECKING:
    from .fsspec import FsspecOptions

MARKER = ".lading-element"
STAGING = ".lading-staging"
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified")
_ATTEMPTS = 3


def check_name(pfn: str) -> None:
    """Raises InvalidPath, also for the element's own files."""
    components(pfn)
    if pfn.split("/")[0] in (MARKER, STAGING):
        raise InvalidPath(f"'{shown(pfn)}' belongs to the element itself", pfn=pfn)


class Store:
    def __init__(self, options: FsspecOptions) -> None:
        self.fs, root = fsspec.url_to_fs(options.url, **options.file_system_options(), skip_instance_cache=True)
        self.fs.dircache = DirCache(use_listings_cache=False)  # what it remembers, others may have changed
        root = self.fs._strip_protocol(root)
        self._base = root.rstrip("/") + "/" if root else ""
        self._marker = options.marker and not options.read_only
        self._has_staging = False

    def path(self, pfn: str) -> str:
        return self._base + pfn

    def check_present(self) -> None:
        """Raises Unavailable when the marker is not there. It is read: some servers do not list names with a dot."""
        if self._marker:
            try:
                self.fs.cat_file(self.path(MARKER))
            except FileNotFoundError:
                raise Unavailable(
                    f"there is no file {MARKER} in the element's root: is the disk mounted? If all is well, probe with"
                    " prepare"
                ) from None

    def prepare(self) -> None:
        """Make the root and its marker. Safe to repeat."""
        if self._base:
            self.make_folder(self._base.rstrip("/"))
        try:
            self.check_present()
        except Unavailable:
            about = b"A storage element of lading. Without this file it counts as not mounted.\n"
            self.fs.pipe_file(self.path(MARKER), about)

    def look(self, path: str) -> dict[str, Any] | None:
        """What is there, None for nothing. `exists` of fsspec says no as well when it could not ask."""
        try:
            found: dict[str, Any] = self.fs.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found

    def stat(self, pfn: str) -> ObjectInfo:
        check_name(pfn)
        found = self.look(self.path(pfn))
        if found is None or found["type"] == "directory":
            raise ObjectNotFound(f"no such object: '{shown(pfn)}'", pfn=pfn)
        if found["type"] != "file":
            raise InvalidPath(f"'{shown(pfn)}' is no regular file", pfn=pfn)
        if found.get("size") is None:
            raise Unsupported(f"the storage does not tell the size of '{shown(pfn)}'", pfn=pfn)
        return ObjectInfo(int(found["size"]), _mtime(found))

    def check_free(self, pfn: str, *, overwrite: bool) -> None:
        """Raises ObjectExists when something is there that may not be replaced, InvalidPath for a folder that never
        may."""
        found = self.look(self.path(pfn))
        if found and not overwrite:
            raise ObjectExists(f"'{shown(pfn)}' is there already", pfn=pfn)
        if found and found["type"] == "directory":
            raise InvalidPath(f"'{shown(pfn)}' is a folder", pfn=pfn)

    def open(self, pfn: str) -> Any:
        return self.fs.open(self.path(pfn), "rb", block_size=BATCH)

    def remove(self, pfn: str) -> None:
        """Folders stay: the `rmdir` of some file systems removes full ones."""
        self.stat(pfn)
        self.fs.rm_file(self.path(pfn))  # not `rm`, which takes `*` and `[` in a name for a pattern

    def make_parents(self, pfn: str) -> None:
        folder = self.path(pfn).rpartition("/")[0]
        if folder:
            self.make_folder(folder)

    def make_folder(self, folder: str) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                self.fs.makedirs(folder, exist_ok=True)
                return
            except Exception:  # of any kind: another writer has made a part of it meanwhile
                found = self.look(folder)
                if found and found["type"] == "directory":
                    return
                if attempt == _ATTEMPTS - 1:
                    raise

    def list(self, folder: str) -> list[tuple[str, ScanEntry | None]]:
        """The folders (name, None) and files (name, entry) in `folder`, by their PFNs. No such folder: none."""
        path = self.path(folder).rstrip("/")
        try:
            entries = self.fs.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        found: list[tuple[str, ScanEntry | None]] = []
        for entry in entries:
            name = "/" + entry["name"].strip("/") if self._base.startswith("/") else entry["name"].strip("/")
            if name == path or not name.startswith(self._base):
                continue  # fsspec lists a file, and some folders, as being in itself
            pfn = name[len(self._base) :]
            if entry["type"] == "directory":
                found.append((pfn, None))
            elif entry["type"] == "file":
                found.append((pfn, ScanEntry(pfn, int(entry["size"] or 0), _mtime(entry))))
        return found

    def staging(self, name: str) -> str:
        """The path of a temporary file; its folder is made."""
        if not self._has_staging:
            with suppress(Exception):  # it may be there and not be listed: if it is not, the first write tells
                self.fs.makedirs(self.path(STAGING), exist_ok=True)
            self._has_staging = True
        return self.path(f"{STAGING}/{name}")


def next_chunk(store: Store, file: Any, at: int, end: int, pfn: str) -> bytes:
    file.seek(at)
    data: bytes = file.read(min(BATCH, end - at))
    if not data:
        raise Transient("the object became shorter while it was read", pfn=pfn)
    return data


def is_reserved(pfn: str) -> bool:
    return pfn.startswith(RESERVED)


def _mtime(found: dict[str, Any]) -> int | None:
    value = next((found[key] for key in _TIMES if key in found), None)
    if isinstance(value, datetime):
        value = value.timestamp()
    return round(value * 1e6) if isinstance(value, int | float) else None
