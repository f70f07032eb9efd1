"""What python-irodsclient raises, as the contract has it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import irods.exception as ex

from .errors import (
    ChecksumMismatch,
    Denied,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
)
from .paths import shown

if TYPE_CHECKING:
    from collections.abc import Iterable


class Busy(Transient):
    """Somebody else writes to it, or it has no good replica."""


_KINDS: dict[type[StorageError], Iterable[int]] = {
    ObjectNotFound: (
        ex.OBJ_PATH_DOES_NOT_EXIST.code,
        ex.USER_FILE_DOES_NOT_EXIST.code,
        ex.CAT_NO_ROWS_FOUND.code,
        ex.CAT_UNKNOWN_COLLECTION.code,
        ex.CAT_UNKNOWN_FILE.code,
        ex.CAT_NOT_A_DATAOBJ_AND_NOT_A_COLLECTION.code,
    ),
    ObjectExists: (
        ex.CAT_NAME_EXISTS_AS_DATAOBJ.code,
        ex.CAT_NAME_EXISTS_AS_COLLECTION.code,
        ex.CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME.code,
        ex.OVERWRITE_WITHOUT_FORCE_FLAG.code,
    ),
    Denied: (
        ex.CAT_NO_ACCESS_PERMISSION.code,
        ex.CAT_INSUFFICIENT_PRIVILEGE_LEVEL.code,
        ex.CAT_INVALID_AUTHENTICATION.code,
        ex.CAT_INVALID_USER.code,
        ex.CAT_INVALID_CLIENT_USER.code,
        ex.CAT_PASSWORD_EXPIRED.code,
        ex.PAM_AUTH_PASSWORD_FAILED.code,
        ex.SYS_NO_API_PRIV.code,
        ex.SYS_NO_DATA_OBJ_PERMISSION.code,
        ex.SYS_NO_PATH_PERMISSION.code,
        ex.SYS_NOT_ALLOWED.code,
        ex.SYS_PROXYUSER_NO_PRIV.code,
        ex.SYS_USER_NOT_ALLOWED_TO_CONN.code,
        ex.USER_ACCESS_DENIED.code,
    ),
    ChecksumMismatch: (ex.USER_CHKSUM_MISMATCH.code,),
    NoSpace: (ex.SYS_RESC_QUOTA_EXCEEDED.code,),
    InvalidPath: (ex.USER_PATH_EXCEEDS_MAX.code, ex.USER_STRLEN_TOOLONG.code),
    Busy: (
        ex.HIERARCHY_ERROR.code,
        ex.LOCKED_DATA_OBJECT_ACCESS.code,
        ex.SYS_REPLICA_INACCESSIBLE.code,
        -166000,  # SYS_NO_GOOD_REPLICA, which the client has no name for
    ),
    Unavailable: (ex.SYS_RESC_IS_DOWN.code, ex.CAT_CONNECT_ERR.code, ex.SYS_EXCEED_CONNECT_CNT.code),
}
_KIND = {code: kind for kind, codes in _KINDS.items() for code in codes}
_SYSTEM: dict[int, type[StorageError]] = {
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EFBIG: NoSpace,
    errno.ENAMETOOLONG: InvalidPath,
    errno.EACCES: Denied,
    errno.EPERM: Denied,
    errno.EROFS: Denied,
}


def told(error: Exception, pfn: str | None = None, *, secret: str | None = None, connecting: bool = False) -> Exception:
    """The contract's error for what the client raised; ours go through. `secret` is kept out of the message.

    A permission that is missing mostly looks like an object that is: iRODS does not tell the two apart.
    """
    if isinstance(error, StorageError):
        return error
    code = _code(error)
    kind: type[StorageError] = Unavailable if connecting else Transient
    if code is not None:
        nominal, system = -(abs(code) // 1000) * 1000, abs(code) % 1000
        kind = _SYSTEM.get(system) or _KIND.get(nominal) or kind
    elif isinstance(error, ex.DoesNotExist):
        kind = ObjectNotFound
    elif connecting and isinstance(error, (ValueError, RuntimeError)) and not isinstance(error, OSError):
        kind = Denied  # what the modules of authentication raise; a certificate that is wrong is an OSError too
    if connecting and kind is ObjectNotFound:
        kind = Denied
    name = type(error).__name__ if code is None or isinstance(error, ex.iRODSException) else "iRODS error"
    what = ": ".join([name, *(str(argument) for argument in error.args if argument is not None)])
    if secret:
        what = what.replace(secret, "***")
    return kind(f"{shown(what)}: '{shown(pfn)}'" if pfn else shown(what), pfn=pfn)


def _code(error: Exception) -> int | None:
    """The server's. The client raises KeyError for one that it does not know."""
    if isinstance(error, ex.iRODSException):
        return getattr(error, "code", None)
    if isinstance(error, KeyError) and error.args and type(error.args[0]) is int:
        return error.args[0]
    return None
