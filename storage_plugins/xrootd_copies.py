"""Third-party copies by XRootD's own protocol: the target's server fetches the bytes, and we only watch."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

from XRootD.client import CopyProcess
from XRootD.client.utils import CopyProgressHandler

from .errors import ObjectNotFound, Transient
from .xrootd_errors import told
from .xrootd_links import Link

_LONGEST = 7 * 24 * 3600  # seconds of one copy; silence ends it sooner


class _Watch(CopyProgressHandler):  # type: ignore[misc]  # XRootD has no types
    cancelled = False

    def should_cancel(self, jobId: int) -> bool:
        return self.cancelled


async def third_party_copy(source: tuple[Link, str], target: tuple[Link, str], pfn: str) -> None:
    """A new object at the target's path from the source's. Raises Unsupported where one of the servers has no such
    copies; after any error something may be at the target. When cancelled, the client is told to stop."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    watch = _Watch()
    urls = [link.url(path) for link, path in (source, target)]

    def finish(result: Any) -> None:
        if not done.done():
            done.set_result(result)

    def copy() -> None:
        result: Any
        try:
            process = CopyProcess()
            process.add_job(*urls, thirdparty="only", inittimeout=target[0].timeout, tpctimeout=_LONGEST)
            result = process.prepare()
            if result.ok:
                result, _ = process.run(watch)
        except Exception as error:  # nobody else would hear of it
            result = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(finish, result)

    # The call blocks, for as long as it takes; a thread of a pool would hold up the interpreter's end.
    threading.Thread(target=copy, name="xrootd-copy", daemon=True).start()
    try:
        status = await done
    except asyncio.CancelledError:
        watch.cancelled = True
        raise
    if isinstance(status, Exception):
        raise Transient(f"XRootD: {status!r}", pfn=pfn)
    if not status.ok:
        error = told(status, pfn)
        if isinstance(error, ObjectNotFound):  # a folder or server of theirs: the source was looked at
            raise Transient(error.message, pfn=pfn)
        raise error
