"""A put that writes to the element itself, where its files are files of this machine too."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from ..model import api, errors
from ..model.checksum import Digest
from ..model.file import Registered
from ..model.lfn import shown
from .local import LocalError, copy, path_of, same, sync_folder, threaded
from .namespace import LONG

if TYPE_CHECKING:
    from .meter import Meter
    from .put import Stored, Writing
    from .transfer import Transfers


async def write_here(
    client: Transfers, fd: int, facts: os.stat_result, local: str, lfn: str, how: Writing, meter: Meter
) -> Stored | None:
    """None when it can't be done, with nothing left behind: go through the server. Raises what the server refuses."""
    from .put import Stored, expect

    if how.se in client.remote:
        return None
    order = api.NewUpload(lfn, facts.st_size, how.expected, how.se, how.guid, how.mode, how.metadata, how.site)
    upload = await client.http.call("POST", "/v1/uploads", api.Upload, body=order, once=True)
    path = path_of(upload.url)
    if path is None or not os.access(os.path.dirname(path), os.W_OK):
        client.remote.add(how.se)
        if path:  # without a URL the server has given it up itself
            await _forget(client, upload, None)
        return None
    written: str | None = None
    before = meter.done
    try:
        # never over what is there: a server can make us add a file, not change one
        target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        written = path
        digest = Digest({*how.kinds, *how.expected})
        try:
            await copy(fd, target, 0, facts.st_size, digest, meter)
            if not same(facts, os.fstat(fd)):
                raise LocalError(f"'{shown(local)}' changed while it was read: put it again", path=local)
            expect(how.expected, digest, local)
            await threaded(os.fsync, target)
        finally:
            os.close(target)
        await threaded(sync_folder, os.path.dirname(path))
        sums = digest.result()
        done = await client.http.call(
            "POST",
            f"/v1/uploads/{upload.id}/complete",
            Registered,
            body=api.Complete(sums),
            once=True,
            wait=LONG,
        )
        return Stored(lfn, facts.st_size, done.guid, upload.se, sums)
    except BaseException as error:
        meter.add(before - meter.done)
        await _forget(client, upload, written)
        if isinstance(error, OSError | errors.NotFound | errors.InvalidRequest):
            client.remote.add(how.se)  # it only looked like the element's folder
            return None
        raise


async def _forget(client: Transfers, upload: api.Upload, written: str | None) -> None:
    if written:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(written)
    try:
        await client.http.call("DELETE", f"/v1/uploads/{upload.id}", type(None), once=True)
    except errors.CatalogError:
        return  # it ends by itself
