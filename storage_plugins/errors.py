"""What can go wrong with bytes, as an element tells it. `retryable` says whether the same call may work a moment later.

    StorageError
     ├─ ObjectNotFound     object_not_found     no object at this PFN: the element is well, and sure of it
     ├─ ObjectExists       object_exists        something is at this PFN, and overwriting was not asked for
     ├─ Denied             denied               our credentials may not do this, or the storage is read-only
     ├─ NoSpace            no_space             disk or quota full; nothing of the write is left
     ├─ InvalidPath        invalid_path         this element can hold no object of this name
     ├─ Unsupported        unsupported          this element, or this pair of elements, cannot do it: use the fallback
     ├─ ChecksumMismatch   checksum_mismatch    size or checksum differ from what was promised; a write left nothing
     ├─ InvalidOptions     invalid_options      the element's type or options are wrong: the operator must change them
     │   └─ PluginMissing  plugin_missing       the type is known and its plug-in cannot be loaded: install what it says
     └─ Transient          transient            a fault of the moment (network, timeout, I/O); retryable
         ├─ Nearline       nearline             the object is on tape alone, or on its way to disk; retryable
         └─ Unavailable    unavailable          the element as a whole is away (host down, disk not mounted); retryable

An element that is away must never answer ObjectNotFound: an unmounted disk would look like a million lost files.
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of what an element raises. `message` is for people; `pfn` names the object when there is one."""

    code = "storage_error"
    retryable = False

    def __init__(self, message: str, *, pfn: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.pfn = pfn


class ObjectNotFound(StorageError):
    code = "object_not_found"


class ObjectExists(StorageError):
    code = "object_exists"


class Denied(StorageError):
    code = "denied"


class NoSpace(StorageError):
    code = "no_space"


class InvalidPath(StorageError):
    code = "invalid_path"


class Unsupported(StorageError):
    code = "unsupported"


class ChecksumMismatch(StorageError):
    """`expected` and `actual` hold what was compared: {"size": "12", "adler32": "0a…"}."""

    code = "checksum_mismatch"

    def __init__(
        self,
        message: str,
        *,
        pfn: str | None = None,
        expected: dict[str, str] | None = None,
        actual: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, pfn=pfn)
        self.expected = expected or {}
        self.actual = actual or {}


class InvalidOptions(StorageError):
    code = "invalid_options"


class PluginMissing(InvalidOptions):
    code = "plugin_missing"


class Transient(StorageError):
    """`retry_after` is in seconds, when the storage said so."""

    code = "transient"
    retryable = True

    def __init__(self, message: str, *, pfn: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, pfn=pfn)
        self.retry_after = retry_after


class Nearline(Transient):
    code = "nearline"


class Unavailable(Transient):
    code = "unavailable"
