"""GridFTP elements that copy between servers by themselves.

Between two elements both sessions are those of their elements. With a foreign server, of which only a URL is known, we
show our certificate but let it have no proxy of ours: connections for data must be `clear` then.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from msgspec import structs

from .base import RESERVED, Element, ObjectInfo, unwrapped
from .chunks import mismatch
from .errors import ObjectNotFound, Transient, Unsupported
from .gridftp_element import GridftpElement
from .gridftp_tpc import Kept, third_party_copy
from .powers import Progress, Remote

if TYPE_CHECKING:
    from .gridftp import GridftpOptions

_COMPARED = "adler32"
_PAUSES = (0.5, 2.0, 8.0)  # seconds before a copy goes on that broke off


class GridftpCopier(GridftpElement):
    """Powers beside those of GridftpElement: ServerCopies, PullsRemote, PushesRemote."""

    async def copies_from(self, source: Element) -> bool:
        origin = unwrapped(source)
        return isinstance(origin, GridftpElement) and _protection(origin._options) == _protection(self._options)

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        origin = unwrapped(source)
        if not isinstance(origin, GridftpElement):
            raise Unsupported("the source is no GridFTP server", pfn=source_pfn)
        return await self._copy(origin, source_pfn, pfn, overwrite=overwrite, progress=None)

    async def pull(
        self,
        pfn: str,
        source: Remote,
        *,
        size: int | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        foreign, name = self._foreign(source)
        try:
            return await self._copy(foreign, name, pfn, overwrite=overwrite, progress=progress, size=size)
        finally:
            await foreign.aclose()

    async def push(
        self, pfn: str, target: Remote, *, overwrite: bool = False, progress: Progress | None = None
    ) -> None:
        foreign, name = self._foreign(target)
        try:
            await foreign._copy(self, pfn, name, overwrite=overwrite, progress=progress)
        finally:
            await foreign.aclose()

    async def _copy(
        self,
        origin: GridftpElement,
        source_pfn: str,
        pfn: str,
        *,
        overwrite: bool,
        progress: Progress | None,
        size: int | None = None,
    ) -> ObjectInfo:
        if _protection(origin._options) != _protection(self._options):
            raise Unsupported("the two elements protect data in different ways: option 'data'", pfn=source_pfn)
        found = await origin.stat(source_pfn)
        if size is not None and found.size != size:
            raise mismatch({"size": str(size)}, {"size": str(found.size)}, source_pfn)
        async with self._tree() as tree:
            tree.place(pfn)
            await tree.check_free(pfn, replace=overwrite)
            await self._prepare(tree)
        async with self._staged() as temporary:
            await self._bring(origin, source_pfn, temporary, found.size, progress)
            async with self._tree() as tree:  # the session from before may have ended meanwhile
                return await self._show(tree, temporary, pfn, found.size, overwrite=overwrite)

    async def _bring(
        self, origin: GridftpElement, source_pfn: str, temporary: str, size: int, progress: Progress | None
    ) -> None:
        """The bytes, in as many goes as it takes, while each gets further. Raises Transient: begin anew."""
        kept = Kept(size)
        pauses = iter(_PAUSES)
        while True:
            before = kept.total
            try:
                await self._bring_rest(origin, source_pfn, temporary, kept, progress)
                break
            except ObjectNotFound:
                self._staging_made = False
                raise Transient("the source or the staging folder was removed", pfn=source_pfn) from None
            except Transient:
                if kept.total > before:
                    pauses = iter(_PAUSES)
                pause = next(pauses, None)
                if not kept.total or pause is None:
                    raise
            await asyncio.sleep(pause)
        if before:
            await self._compare(origin, source_pfn, temporary, size)

    async def _bring_rest(
        self, origin: GridftpElement, source_pfn: str, temporary: str, kept: Kept, progress: Progress | None
    ) -> None:
        arrived = 0

        async def grows() -> bool:
            nonlocal arrived
            async with self._tree() as tree:
                entry = await tree.find(temporary)
            before, arrived = arrived, entry.size if entry else 0
            return arrived > before

        async with origin._tree() as there, self._tree() as here:
            source, target = there.control, here.control
            blocks = "PARALLEL" in source.features
            try:
                await third_party_copy(
                    source,
                    source.command("RETR", there.place(source_pfn)),
                    target,
                    target.command("STOR", temporary),
                    streams=self._transfers.streams(target, kept.size) if blocks else 0,
                    kept=kept,
                    progress=progress,
                    other_hosts=self._options.other_hosts,
                    grows=grows,
                )
            except Transient:
                # Who has not said that it ended may still write into the file, whatever comes to its place meanwhile.
                ended = await target.abort()
                if not ended or not {"CKSM"} <= source.features & target.features:
                    kept.clear()
                raise

    async def _compare(self, origin: GridftpElement, source_pfn: str, temporary: str, size: int) -> None:
        """Raises Transient when what came in several goes is not what the source has, or nobody can say."""
        async with origin._tree() as there, self._tree() as here:
            theirs, ours = await asyncio.gather(
                origin._sum(there, there.place(source_pfn), _COMPARED, size),
                self._sum(here, temporary, _COMPARED, size),
            )
        if theirs is None or theirs != ours:
            raise Transient("the copy went on after a break, and its checksum is not the source's", pfn=source_pfn)

    def _foreign(self, remote: Remote) -> tuple[Foreign, str]:
        """An element for a foreign server's folder, and the name there. Raises Unsupported for what is no GridFTP."""
        parts = urlsplit(remote.url)
        folder, _, name = parts.path.rpartition("/")
        if parts.scheme not in ("gsiftp", "ftp") or not name:
            raise Unsupported(f"it copies over gsiftp and ftp, not over {parts.scheme[:20]!r}")
        secure = parts.scheme == "gsiftp"
        if secure and (self._options.certificate is None or self._options.data != "clear"):
            raise Unsupported("a foreign server gets no proxy of ours: it can be copied from with data=clear alone")
        try:
            options = structs.replace(
                self._options,
                url=f"{parts.scheme}://{parts.netloc}{folder}",
                certificate=self._options.certificate if secure else None,
                key=self._options.key if secure else None,
                username=None,
                password=None,
                marker=False,
            )
        except ValueError as error:
            raise Unsupported(f"the URL cannot be used: {error}") from None
        return Foreign(options, name=self.name), unquote(name, errors="surrogateescape")


class Foreign(GridftpCopier):
    """A folder on a server that is no element of ours: what is on its way lies beside its place, hidden by a dot."""

    def __init__(self, options: GridftpOptions, *, name: str = "") -> None:
        super().__init__(options, name=name)
        self._staging_made = True

    def _temporary(self) -> str:
        return f"{self._options.root}/{RESERVED}{secrets.token_hex(16)}"


def _protection(options: GridftpOptions) -> str:
    return options.data if options.secure else "clear"
