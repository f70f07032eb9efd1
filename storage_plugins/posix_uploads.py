"""Objects that a client on this host wrote itself: a file of the staging folder, read, compared and shown. Blocking.

Whoever may write there may write anywhere below the root: what is gained is that the bytes do not pass through us.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from lading.model.checksum import Digest, differing, kind, normalise

from .base import ObjectInfo
from .chunks import BATCH, mismatch
from .errors import InvalidPath, ObjectNotFound, Transient
from .posix_tree import STAGING, Tree, descriptor

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .posix_staging import WriteOptions

_ID = re.compile(r"[0-9a-f-]{1,64}")


def name_of(upload: str) -> bytes:
    """The file's name in the staging folder. Raises InvalidPath for what is no upload id."""
    if not _ID.fullmatch(upload):
        raise InvalidPath("not an upload id")
    return b"direct-" + upload.encode()


def begin(tree: Tree, upload: str) -> str:
    """Where to write, relative to the root. Raises Unavailable when the disk is not mounted."""
    with tree.root(certain=True) as root:
        os.close(tree.folder(root, [STAGING], make=True))
    return f"{STAGING.decode()}/{name_of(upload).decode()}"


def finish(
    tree: Tree,
    upload: str,
    pfn: str,
    *,
    size: int | None,
    overwrite: bool,
    checksums: Mapping[str, str],
    kinds: Collection[str],
    options: WriteOptions,
) -> ObjectInfo:
    """See `powers.LocalUploads.finish_local_upload`."""
    folders, name = tree.split(pfn)
    wanted = {kind(k): normalise(k, value) for k, value in checksums.items()}
    with tree.root(certain=True) as root, descriptor(tree.folder(root, [STAGING], make=True)) as staging:
        try:
            fd = os.open(name_of(upload), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=staging)
        except FileNotFoundError:
            raise ObjectNotFound("nothing was written", pfn=pfn) from None
        with descriptor(fd):
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode) or before.st_nlink != 1:
                raise InvalidPath("what was written is no regular file of its own", pfn=pfn)
            if not overwrite:
                tree.check_free(root, folders, name, pfn)
            if size is not None and before.st_size != size:
                raise mismatch({"size": str(size)}, {"size": str(before.st_size)}, pfn)
            sums = sums_of(fd, [*wanted, *kinds])
            if differing(wanted, sums):
                raise mismatch(wanted, sums, pfn)
            if options.mode is not None:
                os.fchmod(fd, options.mode)
            if options.fsync:
                os.fsync(fd)
            after = os.fstat(fd)
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise Transient("somebody still writes to it", pfn=pfn)
            tree.show(root, name_of(upload), staging, folders, name, replace=overwrite)
            return ObjectInfo(after.st_size, after.st_mtime_ns // 1000, sums)


def abort(tree: Tree, upload: str) -> None:
    """Take the file away; none there is no error."""
    with tree.root() as root:
        try:
            os.unlink(STAGING + b"/" + name_of(upload), dir_fd=root)
        except FileNotFoundError:
            return


def sums_of(fd: int, kinds: Collection[str]) -> dict[str, str]:
    """{kind: hex} of a whole file."""
    digest = Digest(kinds)
    view = memoryview(bytearray(BATCH))
    at = 0
    while got := os.preadv(fd, [view], at):
        digest.update(view[:got])
        at += got
    return digest.result()
