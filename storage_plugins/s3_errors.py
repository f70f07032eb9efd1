"""What an S3 server's answer or silence means, in the words of `errors.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
from botocore.exceptions import (  # type: ignore[import-untyped]  # it has no type annotations
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
)

from .errors import (
    Denied,
    InvalidOptions,
    InvalidPath,
    NoSpace,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
    Unsupported,
)
from .http_errors import broken, refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_CODES: dict[str, tuple[type[StorageError], str]] = {
    "NoSuchBucket": (Unavailable, "there is no such bucket"),
    "NoSuchKey": (ObjectNotFound, "no such object"),
    "NoSuchUpload": (ObjectNotFound, "no such upload"),
    "AccessDenied": (Denied, "the access key may not do this"),
    "AllAccessDisabled": (Denied, "the bucket is closed for all"),
    "AccountProblem": (Denied, "the account may do nothing"),
    "InvalidAccessKeyId": (Denied, "the server does not know the access key"),
    "SignatureDoesNotMatch": (Denied, "the secret of the access key is wrong, or another region is meant"),
    "InvalidToken": (Denied, "the session token is wrong"),
    "ExpiredToken": (Denied, "the temporary access key has expired"),
    "RequestTimeTooSkewed": (Denied, "the clocks of this host and the server differ too much"),
    "RequestExpired": (Denied, "the clocks of this host and the server differ too much"),
    "InvalidObjectState": (Denied, "the object is in an archive: it must be restored first"),
    "QuotaExceeded": (NoSpace, "the quota is used up"),
    "InsufficientStorage": (NoSpace, "the server is full"),
    "XMinioStorageFull": (NoSpace, "the server is full"),
    "EntityTooLarge": (NoSpace, "the object is larger than the server takes"),
    "KeyTooLongError": (InvalidPath, "the key is too long"),
    "KeyTooLong": (InvalidPath, "the key is too long"),
    "InvalidObjectName": (InvalidPath, "the server takes no such key"),
    "InvalidURI": (InvalidPath, "the server takes no such key"),
    "NotImplemented": (Unsupported, "the server cannot do this"),
    "InvalidTag": (Unsupported, "the server takes no such tags"),
    "BadDigest": (Transient, "the bytes changed on their way"),
    "XAmzContentSHA256Mismatch": (Transient, "the bytes changed on their way"),
    "XAmzContentChecksumMismatch": (Transient, "the bytes changed on their way"),
    "RequestTimeout": (Transient, "the server waited too long for us"),
    "IncompleteBody": (Transient, "not all bytes arrived"),
    "SlowDown": (Transient, "the server asks for fewer requests"),
    "InternalError": (Transient, "the server failed"),
    "ServiceUnavailable": (Transient, "the server is too busy"),
    "OperationAborted": (Transient, "another request to the same object is under way"),
    "ConditionalRequestConflict": (Transient, "another request to the same object is under way"),
}
_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "307")


def failed(error: Exception, operation: str, *, pfn: str | None) -> StorageError:
    """The error for what botocore or aiohttp raised."""
    if isinstance(error, ClientError):
        return _answered(error, operation, pfn)
    if isinstance(error, NoCredentialsError | CredentialRetrievalError):
        return Denied("the environment holds no credentials", pfn=pfn)
    if isinstance(error, ParamValidationError):
        return InvalidPath("the server's protocol takes no such key", pfn=pfn)
    if isinstance(error, BotoCoreError):
        inner = error.kwargs.get("error")
        if isinstance(inner, StorageError):
            return inner
        if isinstance(inner, aiohttp.ClientError | TimeoutError | OSError):
            return broken(inner, pfn=pfn)
        return StorageError(f"{operation} failed: {type(inner or error).__name__}", pfn=pfn)
    return broken(error, pfn=pfn)


def is_wire(error: BaseException) -> bool:
    """Whether `failed` knows it."""
    return isinstance(error, BotoCoreError | ClientError | aiohttp.ClientError | TimeoutError | OSError)


def status_of(error: BaseException | None) -> int:
    """Of the server's answer that an error stands for; 0 when there was none."""
    answered = error if isinstance(error, ClientError) else error.__cause__ if error else None
    if not isinstance(answered, ClientError):
        return 0
    found = answered.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return found if isinstance(found, int) else 0


def _answered(error: ClientError, operation: str, pfn: str | None) -> StorageError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    headers: Mapping[str, Any] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    told = status_of(error)
    region = headers.get("x-amz-bucket-region") or error.response.get("Error", {}).get("Region")
    if code in _REGION or told in (301, 302, 307, 308) or (told == 400 and region):
        where = f": option 'region' must be {region}" if region else ": are the endpoint and the region right?"
        return InvalidOptions(f"the server says that the bucket is elsewhere{where}", pfn=pfn)
    retry_after = getattr(refused(operation, 503, _lower(headers), pfn=pfn), "retry_after", None)
    kind, why = _CODES.get(code, (None, ""))
    if kind is None:
        general = refused(operation, told, {}, pfn=pfn)
        kind, why = type(general), f"it answered {operation} with {told}"
        if told >= 500 and kind is not NoSpace and kind is not Unsupported:
            kind = Transient
    message = why if not code or code == str(told) else f"{why} ({code[:60]})"
    if issubclass(kind, Transient):
        return kind(message, pfn=pfn, retry_after=retry_after)
    return kind(message, pfn=pfn)


def _lower(headers: Mapping[str, Any]) -> dict[str, str]:
    return {"Retry-After": str(headers["retry-after"])} if "retry-after" in headers else {}
