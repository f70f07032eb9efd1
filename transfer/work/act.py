"""Doing one transfer: the bytes. What the catalogue is told of it is the affair of `hand.py`."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from lading.model.errors import CatalogError
from lading.model.request import RequestKind, Result
from storage_plugins.errors import (
    ChecksumMismatch,
    Nearline,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    StorageError,
)
from storage_plugins.verify import verify

from ..queue.queue import Ended
from ..tape import at_hand
from ..ways import carry

if TYPE_CHECKING:
    from collections.abc import Callable

    from catalog.elements.service import ElementsService
    from storage_plugins.base import Element as StorageElement

    from ..parts import Parts
    from .job import Job

_TAPE = 60.0  # seconds after which is looked again for what is on its way from tape
_FULL = 600.0


class Act:
    def __init__(self, elements: ElementsService, parts: Callable[[int], Parts]) -> None:
        """`parts` gives those on their way to an element, by its id."""
        self._elements = elements
        self._parts = parts

    async def perform(self, job: Job) -> None:
        """Do it, and say in `job.ended` what came of it, and in `job.bad` and `job.gone` which copies are no good.

        Never raises but when it is cancelled; then nothing is said, and there may be bytes at `job.pfn`. After a copy
        that is done the bytes there are verified. Safe to do again.
        """
        began = time.perf_counter()
        if job.order.kind is RequestKind.VERIFY:
            job.ended = await self._verify(job)
        elif job.order.kind is RequestKind.STAGE:
            job.ended = await self._stage(job)
        elif job.upload is None:
            job.ended = Ended(job.lease, Result.DONE)
        else:
            job.ended = await self._copy(job)
        job.ended.micros = int((time.perf_counter() - began) * 1e6)

    # ── copies ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _copy(self, job: Job) -> Ended:
        """From the first source that gives good bytes. A fault of one source is a word in the error of the whole."""
        faults: list[str] = []
        again, nearline = False, False
        try:
            target = await self._elements.storage(job.target)
        except CatalogError as error:
            return Ended(job.lease, Result.RETRY if error.retryable else Result.FAILED, error.message)
        for source, pfn in job.sources:
            try:
                storage = await self._elements.storage(source)
                await at_hand(storage, pfn)
                return await self._from(job, source.id, storage, pfn, target)
            except ObjectExists:
                return Ended(
                    job.lease, Result.FAILED, f"another object is in its place on '{job.target.name}': {job.pfn}"
                )
            except NoSpace as error:
                return Ended(job.lease, Result.RETRY, f"'{job.target.name}' is full: {error.message}", later=_FULL)
            except Nearline:
                nearline = True
            except _BadSource as error:
                job.bad.append((source.id, error.message))
                faults.append(f"from '{source.name}': {error.message}")
            except ObjectNotFound as error:
                job.gone.append((source.id, error.message))
                faults.append(f"from '{source.name}': it is not there")
            except (StorageError, CatalogError) as error:
                again |= error.retryable
                faults.append(f"from '{source.name}': {error.message}")
        if nearline:
            return Ended(job.lease, Result.RETRY, later=_TAPE, waits=True)
        why = "; ".join(faults) or "it has no copy that can be read now"
        return Ended(job.lease, Result.RETRY if again or not faults else Result.FAILED, why)

    async def _from(self, job: Job, source_id: int, storage: StorageElement, pfn: str, target: StorageElement) -> Ended:
        try:
            try:
                way = await self._carry(job, storage, pfn, target, overwrite=False)
            except ObjectExists:
                way = await self._met(job, storage, pfn, target)
        except ChecksumMismatch as error:
            await self._blame(job, storage, pfn)  # raises _BadSource
            raise _Retry(f"the copy came out wrong: {error.message}") from None
        return Ended(job.lease, Result.DONE, way=way, source=source_id, bytes=job.size or 0)

    async def _carry(
        self, job: Job, storage: StorageElement, pfn: str, target: StorageElement, *, overwrite: bool
    ) -> str:
        job.dirty = True
        info, way = await carry(
            *(storage, pfn, target, job.pfn),
            size=job.size,
            checksums=job.checksums,
            overwrite=overwrite,
            parts=self._parts(job.target.id),
        )
        if job.size is None:
            job.size = info.size
        return way.value

    async def _met(self, job: Job, storage: StorageElement, pfn: str, target: StorageElement) -> str:
        """Something is in the place already: adopted when it is what it should be, else replaced where it is ours."""
        job.dirty = job.ours
        if job.size is not None and job.checksums:
            with contextlib.suppress(ChecksumMismatch, ObjectNotFound):
                await verify(target, job.pfn, job.checksums, job.size)
                return "adopted"
        if not job.ours:
            raise ObjectExists("another object is there", pfn=job.pfn)
        return await self._carry(job, storage, pfn, target, overwrite=True)

    async def _blame(self, job: Job, storage: StorageElement, pfn: str) -> None:
        """Wrong bytes arrived. Raises _BadSource when they are wrong at the source."""
        try:
            await verify(storage, pfn, job.checksums, job.size)
        except (ChecksumMismatch, ObjectNotFound) as error:
            raise _BadSource(error.message, pfn=pfn) from None

    # ── copies that are there ────────────────────────────────────────────────────────────────────────────────────────

    async def _verify(self, job: Job) -> Ended:
        element, pfn = job.sources[0]
        try:
            storage = await self._elements.storage(element)
            await at_hand(storage, pfn)
            await verify(storage, pfn, job.checksums, job.size)
        except Nearline:
            return Ended(job.lease, Result.RETRY, later=_TAPE, waits=True)
        except ChecksumMismatch as error:
            job.bad.append((element.id, error.message))
            return Ended(job.lease, Result.FAILED, error.message)
        except ObjectNotFound:
            job.gone.append((element.id, "the storage has no such object"))
            return Ended(job.lease, Result.FAILED, "the storage has no such object")
        except (StorageError, CatalogError) as error:
            return Ended(job.lease, Result.RETRY if error.retryable else Result.FAILED, error.message)
        return Ended(job.lease, Result.DONE, bytes=job.size or 0)

    async def _stage(self, job: Job) -> Ended:
        element, pfn = job.sources[0]
        try:
            await at_hand(await self._elements.storage(element), pfn)
        except Nearline:
            return Ended(job.lease, Result.RETRY, later=_TAPE, waits=True)
        except ObjectNotFound as error:
            job.gone.append((element.id, error.message))
            return Ended(job.lease, Result.FAILED, error.message)
        except (StorageError, CatalogError) as error:
            return Ended(job.lease, Result.RETRY if error.retryable else Result.FAILED, error.message)
        return Ended(job.lease, Result.DONE, bytes=job.size or 0)


class _BadSource(StorageError):
    """The source's own bytes are wrong."""


class _Retry(StorageError):
    """Nothing is wrong with the source."""

    retryable = True
