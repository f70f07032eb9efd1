"""A file on its way here: `NAME.lading-part`, and beside it a note of which file it is a part of."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..model.checksum import Digest
from ..model.errors import Conflict
from ..model.file import Checksums
from ..model.lfn import shown
from .local import STEP, begin_writeback, feed, sync_folder, write_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Identity(msgspec.Struct):
    """What a partial file is part of. Content never changes, so equal identities mean equal bytes."""

    guid: str | None
    size: int | None
    checksums: Checksums


class Part:
    """The partial file, held by one process at a time. All methods block: call them in a thread. They raise OSError."""

    def __init__(self, target: Path, identity: Identity, kinds: Iterable[str], resume: bool) -> None:
        """Raises Conflict when another process is fetching the same target."""
        self.target = target
        self.kinds = [*kinds]
        self.digest = Digest(self.kinds)
        self.offset = 0
        self._finished = False
        name = (
            target.name if len(os.fsencode(target.name)) < 230 else hashlib.sha256(os.fsencode(target.name)).hexdigest()
        )
        self.path = target.with_name(f"{name}.lading-part")
        self._note = target.with_name(f"{name}.lading-part.json")
        self.fd = self._hold()
        try:
            self._prepare(identity, resume)
        except BaseException:
            os.close(self.fd)
            raise
        self.resumed = self.offset

    def _hold(self) -> int:
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_ino == os.stat(self.path).st_ino:
                    return fd
            except BlockingIOError:
                os.close(fd)
                raise Conflict(
                    f"'{shown(str(self.target))}' is being fetched by another process: wait for it"
                ) from None
            except FileNotFoundError:
                pass
            os.close(fd)  # whoever held it has just finished and moved it into place: begin a new one

    def _prepare(self, identity: Identity, resume: bool) -> None:
        held = os.fstat(self.fd).st_size
        known = identity.size is not None and (identity.guid is not None or bool(identity.checksums))
        if resume and known and 0 < held <= (identity.size or 0) and self._noted() == identity:
            for start in range(0, held, STEP):
                feed(self.fd, self.digest, start, min(STEP, held - start))
            self.offset = held
            return
        os.ftruncate(self.fd, 0)
        draft = self._note.with_name(self._note.name + ".new")
        draft.write_bytes(msgspec.json.encode(identity))
        draft.replace(self._note)

    def _noted(self) -> Identity | None:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=Identity)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def write(self, buffers: Sequence[bytes | memoryview]) -> None:
        """Append, hashing on the way."""
        for buffer in buffers:
            self.digest.update(buffer)
        count = write_all(self.fd, buffers, self.offset)
        begin_writeback(self.fd, self.offset, count)
        self.offset += count

    def restart(self) -> None:
        """Forget every byte."""
        os.ftruncate(self.fd, 0)
        self.digest = Digest(self.kinds)
        self.offset = 0

    def finish(self, overwrite: bool) -> None:
        """Give the whole file its name, on disk for good. Raises Conflict when something has it and `overwrite` is not
        set."""
        os.fsync(self.fd)
        if overwrite:
            os.replace(self.path, self.target)
        else:
            self._place()
        self._finished = True
        self._note.unlink(missing_ok=True)
        sync_folder(self.target.parent)

    def _place(self) -> None:
        try:
            os.link(self.path, self.target)
        except FileExistsError:
            raise Conflict(
                f"'{shown(str(self.target))}' has appeared meanwhile: use --overwrite to replace it"
            ) from None
        except OSError:  # no hard links on this file system: the check is then not atomic
            if os.path.lexists(self.target):
                raise Conflict(f"'{shown(str(self.target))}' exists: use --overwrite to replace it") from None
            os.replace(self.path, self.target)
            return
        os.unlink(self.path)

    def close(self) -> None:
        """Let go. Bytes that came stay for the next try; without any, nothing is left."""
        try:
            if not self._finished and not os.fstat(self.fd).st_size:
                self.path.unlink(missing_ok=True)
                self._note.unlink(missing_ok=True)
        finally:
            os.close(self.fd)
