"""Objects in Girder's hierarchy: collection, folders, items, files. Names, where they lead, and how an object shows.

An object is the file of the item at its path. Where an item holds several files (as DICOM series do), it is the one
named like the item, and none when there is none such.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from .base import RESERVED
from .errors import Denied, InvalidPath, ObjectExists, ObjectNotFound, Transient, Unavailable
from .girder_api import Missing
from .paths import components, shown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from .girder_api import Doc, GirderApi

STAGING = f"{RESERVED}staging"
_TRIES = 8
_PAGE = 1000
_REMEMBERED = 4096  # folders


def split(pfn: str) -> list[str]:
    """The components of an object's PFN. Raises InvalidPath also for names that Girder would change."""
    parts = [part.decode("utf-8", "surrogateescape") for part in components(pfn)]
    why = None
    if not pfn.isascii() and any("\ud800" <= character <= "\udfff" for character in pfn):
        why = "it is no UTF-8"
    elif any(part != part.strip() for part in parts):
        why = "Girder takes blanks off the ends of names"
    elif "\\-" in pfn:
        why = "Girder cannot look up a name with '\\-' in it"
    elif parts[0] == STAGING:
        why = "it belongs to the element itself"
    if why:
        raise InvalidPath(f"'{shown(pfn)}' is not a PFN here: {why}", pfn=pfn)
    return parts


class GirderTree:
    def __init__(self, api: GirderApi, root: str) -> None:
        self._api = api
        self._id = None if "/" in root else root
        self._root = None if self._id else "/" + root.strip("/").replace("\\", "\\\\")
        self._making = asyncio.Lock()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._folders: dict[str, str] = {}  # ids by path. What a stale one leads to is noticed by `show`

    async def file(self, pfn: str) -> Doc:
        """The file that is the object. Raises ObjectNotFound."""
        parts = split(pfn)
        found = await self._file(parts)
        if not found and await self.check_present():
            found = await self._file(parts)
        if not found:
            raise ObjectNotFound("no such object", pfn=pfn)
        return found

    async def item(self, pfn: str) -> Doc:
        """The item that holds the object. Raises ObjectNotFound."""
        try:
            item: Doc = await self._api.call("GET", f"item/{(await self.file(pfn))['itemId']}")
        except Missing:
            raise ObjectNotFound("no such object any more", pfn=pfn) from None
        return item

    async def check_free(self, pfn: str) -> None:
        """Raises ObjectExists."""
        if await self._lookup(split(pfn)):
            raise ObjectExists("something is there already", pfn=pfn)

    async def check_present(self) -> bool:
        """Whether what was not found is to be looked for again: we had to log in anew, or the root has a new name.

        Raises Unavailable when the root is not there, or hidden from us; Denied when Girder does not take our token.
        """
        for again in (False, True):
            token = self._api.token
            root, logged_in = await asyncio.gather(self._lookup([]), self._api.logged_in())
            if root and logged_in:
                return again
            if self._id:
                self._root = None
            elif again or logged_in:
                break
            if not logged_in and not await self._api.renew(token):
                break
        if not logged_in:
            raise Denied("Girder does not take the token any more")
        raise Unavailable("the root folder is not there, or hidden from us")

    async def folder(self, parts: Sequence[str], *, look: bool = False) -> str:
        """The id of a folder, which is made with those above it. Raises InvalidPath for an object in its place.
        `look`: do not rely on what was there before."""
        key = "/".join(parts)
        if look or key not in self._folders:
            async with self._making:  # one at a time: of two that make the same, Girder may make both
                found = await self._lookup(parts)
                if not found:
                    found = await self._make(parts)
            if found["_modelType"] != "folder":
                what = "an object, no folder" if parts else f"a {found['_modelType']}, which holds folders alone"
                raise InvalidPath(f"'{shown(key)}' is {what}")
            if len(self._folders) >= _REMEMBERED:
                self._folders.clear()
            self._folders[key] = found["_id"]
        return self._folders[key]

    async def prepare(self) -> None:
        """Make the root, but no collection and no user. Safe to repeat."""
        if self._root is None:
            return
        kind, owner, *parts = self._root.removeprefix("/").split("/")
        above = await self._api.lookup(f"/{kind}/{owner}")
        if not above:
            raise Unavailable(f"there is no {kind} '{shown(owner)}', or it is hidden from us")
        for depth, part in enumerate(parts, 1):
            found = await self._api.lookup("/".join(("", kind, owner, *parts[:depth])))
            above = found or await self._new_folder(above, part.replace("\\\\", "\\"))

    async def show(self, item: str, file: str, pfn: str, *, overwrite: bool) -> None:
        """Move a complete item to its place. Raises ObjectExists.

        Girder has no step that takes a name only if it is free. So what came of it is looked at, and whoever finds
        himself not alone goes back and tries again.
        """
        *above, name = split(pfn)
        async with self._locks.setdefault(pfn, asyncio.Lock()):
            for attempt in range(_TRIES):
                there = await self._lookup([*above, name])
                if there and not (overwrite and there["_modelType"] == "item"):
                    raise ObjectExists("something is there already", pfn=pfn)
                try:
                    if there:
                        return await self._replace(there["_id"], item, file)
                    if await self._alone(item, above, name, look=attempt > 0):
                        return None
                    await self._api.call("PUT", f"item/{item}", {"folderId": await self.folder([STAGING])})
                except Missing:
                    if attempt == _TRIES - 1:
                        raise Transient("others keep changing what is there", pfn=pfn) from None
                await asyncio.sleep(random.uniform(0, 0.1) * attempt)  # noqa: S311  (no secret)
        raise Transient("others keep changing what is there", pfn=pfn)

    async def _alone(self, item: str, above: Sequence[str], name: str, *, look: bool) -> bool:
        """Move a staged item; whether it then is what is found there, and nothing else has the name."""
        folder = await self.folder(above, look=look)
        moved = await self._api.call("PUT", f"item/{item}", {"folderId": folder, "name": name})
        if moved["name"] != name:  # another was being moved: the name is set before the folder
            moved = await self._api.call("PUT", f"item/{item}", {"name": name})
        twins, found = await asyncio.gather(
            self._api.call("GET", "item", {"folderId": folder, "name": name, "limit": 2}), self._lookup([*above, name])
        )
        return moved["name"] == name and len(twins) == 1 and found is not None and found["_id"] == item

    async def _replace(self, there: str, item: str, file: str) -> None:
        """Put a staged item's file in place of those that `there` has. Until the last of them is gone a reader gets
        the old or the new one, each of them whole."""
        old = await self._files(there)
        await self._api.call("POST", f"file/{file}/copy", {"itemId": there}, patient=True)
        for one in old:
            await self.drop("file", one["_id"])
        await self.drop("item", item)

    async def remove(self, pfn: str) -> None:
        """Raises ObjectNotFound. Other files in the same item are none of ours, and stay."""
        file = await self.file(pfn)
        files = await self._files(file["itemId"])
        ours = [one for one in files if one["_id"] == file["_id"] or one["name"] == split(pfn)[-1]]
        try:
            if len(ours) == len(files):
                await self._api.call("DELETE", f"item/{file['itemId']}", pfn=pfn)
            else:
                for one in ours:
                    await self._api.call("DELETE", f"file/{one['_id']}", pfn=pfn)
        except Missing:
            raise ObjectNotFound("no such object any more", pfn=pfn) from None

    async def drop(self, kind: str, identity: str) -> None:
        """Remove an item, a file or an upload. Safe to repeat."""
        with suppress(Missing):
            await self._api.call("DELETE", f"{kind}/{identity}")

    async def below(self, prefix: str) -> AsyncGenerator[tuple[str, Doc], None]:
        """Every item whose PFN begins with `prefix`, in no order. Raises Transient when we had to log in anew: before
        that, Girder may have left out what is private."""
        top = prefix.rpartition("/")[0]
        await self.check_present()
        token = self._api.token
        found = await self._lookup(split(top) if top else [])
        folders = [(top, found)] if found and found["_modelType"] not in ("item", "file") else []
        while folders:
            path, folder = folders.pop()
            where = {"parentType": folder["_modelType"], "parentId": folder["_id"]}
            folders += [(pfn, one) async for pfn, one in self._named(path, prefix, "folder", where)]
            if folder["_modelType"] == "folder":
                async for pfn, one in self._named(path, prefix, "item", {"folderId": folder["_id"]}):
                    if one["size"] or await self._files(one["_id"], limit=1):
                        yield pfn, one
        if await self.check_present() or self._api.token != token:
            raise Transient("the session with Girder ended during the scan")

    async def _named(
        self, path: str, prefix: str, kind: str, where: dict[str, str]
    ) -> AsyncGenerator[tuple[str, Doc], None]:
        """Items or folders of the folder at `path`, with their PFNs. Those whose name no PFN has are left out."""
        async for one in self.pages(kind, where):
            pfn = f"{path}/{one['name']}" if path else one["name"]
            if "/" not in one["name"] and pfn.startswith(prefix) and not pfn.startswith(RESERVED):
                with suppress(InvalidPath):
                    split(pfn)
                    yield pfn, one

    async def pages(self, kind: str, where: dict[str, str]) -> AsyncGenerator[Doc, None]:
        """All folders or items of a folder, by name. A page begins with the end of the one before: if that has moved
        up, something before it was removed, and what followed would be left out."""
        last = ""
        at = 0
        while True:
            page = await self._api.call(
                "GET", kind, {"limit": _PAGE, "offset": at, "sort": "name", "sortdir": 1, **where}
            )
            if at and (not page or page[0]["name"] > last):
                at = max(0, at - _PAGE)
                continue
            for one in page:
                if one["name"] > last:
                    last = one["name"]
                    yield one
            if len(page) < _PAGE:
                return
            at += len(page) - 1

    async def _file(self, parts: Sequence[str]) -> Doc | None:
        named = await self._lookup([*parts, parts[-1]])
        if named:
            return named if named["_modelType"] == "file" else None  # something else: the object would be a folder
        item = await self._lookup(parts)
        if item is None or item["_modelType"] != "item":
            return None
        files = await self._files(item["_id"], limit=2)
        return files[0] if len(files) == 1 else None

    async def _files(self, item: str, limit: int = 0) -> list[Doc]:
        files: list[Doc] = await self._api.call("GET", f"item/{item}/files", {"limit": limit})
        return files

    async def _lookup(self, parts: Sequence[str]) -> Doc | None:
        """What is at a path below the root."""
        if self._root is None:
            self._root = await self._path_of_root()
        if self._root is None:
            return None
        return await self._api.lookup("/".join([self._root, *(part.replace("\\", "\\\\") for part in parts)]))

    async def _path_of_root(self) -> str | None:
        for kind in ("folder", "collection", "user"):
            try:
                path: str = await self._api.call("GET", f"resource/{self._id}/path", {"type": kind})
            except Missing:
                continue
            return path
        return None

    async def _make(self, parts: Sequence[str]) -> Doc:
        """A folder, and those above it. Raises InvalidPath when one of them is an object."""
        if not parts:
            await self.check_present()
            raise Transient("the root folder comes and goes")
        above = await self._lookup(parts[:-1]) or await self._make(parts[:-1])
        if above["_modelType"] in ("item", "file"):
            raise InvalidPath(f"'{shown('/'.join(parts[:-1]))}' is an object, no folder")
        return await self._new_folder(above, parts[-1])

    async def _new_folder(self, above: Doc, name: str) -> Doc:
        where = {"parentType": above["_modelType"], "parentId": above["_id"]}
        made: Doc = await self._api.call("POST", "folder", {**where, "name": name, "reuseExisting": "true"})
        return made
