"""What a status of XRootD's client means: the server's errors by their number (kXR_…), the client's own by theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import (
    Denied,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
    Unsupported,
)
from .paths import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from XRootD.client.responses import XRootDStatus

ANSWERED = 400  # the client's number for "the server says": its own number is the errno
_FS_ERROR = 3005  # what has no number of its own: the text tells
_BY_SERVER: dict[int, type[StorageError]] = {
    3000: InvalidPath,  # kXR_ArgInvalid
    3002: InvalidPath,  # kXR_ArgTooLong
    3006: Unsupported,  # kXR_InvalidRequest
    3009: NoSpace,
    3010: Denied,  # kXR_NotAuthorized
    3011: ObjectNotFound,
    3013: Unsupported,
    3014: Unavailable,  # kXR_noserver
    3015: InvalidPath,  # kXR_NotFile
    3016: InvalidPath,  # kXR_isDirectory
    3018: ObjectExists,
    3021: NoSpace,  # kXR_overQuota
    3025: Denied,  # kXR_fsReadOnly
    3028: Denied,  # kXR_TLSRequired
    3030: Denied,  # kXR_AuthFailed
}
_BY_TEXT: tuple[tuple[str, type[StorageError]], ...] = (
    ("not a directory", ObjectNotFound),
    ("directory not empty", ObjectExists),
    ("file too large", NoSpace),
    ("too many levels of symbolic links", InvalidPath),
)
_BY_CLIENT: dict[int, type[StorageError]] = {
    13: Unsupported,  # errNotSupported
    101: Unavailable,  # errInvalidAddr: no such host
    102: Unavailable,
    103: Unavailable,
    108: Unavailable,  # errConnectionError
    110: Unavailable,  # errTlsError
    202: Unavailable,  # errHandShakeFailed
    203: Denied,  # errLoginFailed
    204: Denied,  # errAuthFailed
}
_REFUSED = "certificate verify failed"  # OpenSSL's words


def told(status: XRootDStatus, pfn: str | None, secrets: Iterable[str] = ()) -> StorageError:
    """The contract's error for a status that is not ok; what is not known is a fault of the moment."""
    text = str(status.message).strip().removeprefix("[ERROR] ").removeprefix("[FATAL] ")
    if status.code == ANSWERED:
        kind = _BY_SERVER.get(status.errno, Transient)
        if status.errno == _FS_ERROR:
            kind = next((meant for words, meant in _BY_TEXT if words in text.lower()), Transient)
    else:
        kind = _BY_CLIENT.get(status.code, Transient)
        if _REFUSED in text:
            kind = Denied
        if kind is Denied:
            text += ": options certificate, proxy, token, ca"
    for secret in secrets:
        text = text.replace(secret, "…")
    return kind(f"XRootD: {shown(text)}" + (f": '{shown(pfn)}'" if pfn else ""), pfn=pfn)
