"""What the client's `data_objects.move`, `copy` and `collections.create` send, and no more.

The first two ask twice for a collection at the target's path, and where there is one they put the object into it; the
last asks for what it has made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irods.api_number import api_number
from irods.keywords import RECURSIVE_OPR__KW
from irods.message import CollectionRequest, FileOpenRequest, ObjCopyRequest, StringStringMap, iRODSMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

_RENAME, _COPY_FROM, _COPY_TO = 11, 10, 9  # `oprType`: what a request is part of


def rename(irods: Any, source: str, target: str) -> None:
    _send(irods, "DATA_OBJ_RENAME_AN", _pair(_end(source, _RENAME), _end(target, _RENAME)))


def copy(irods: Any, source: str, target: str, options: Mapping[str, str]) -> None:
    """`options`: keywords of the client, for the target."""
    _send(irods, "DATA_OBJ_COPY_AN", _pair(_end(source, _COPY_FROM), _end(target, _COPY_TO, options)))


def make(irods: Any, collection: str) -> None:
    """With those above it. One that is there is no error."""
    options = StringStringMap({RECURSIVE_OPR__KW: ""})
    _send(irods, "COLL_CREATE_AN", CollectionRequest(collName=collection, KeyValPair_PI=options))


def _end(path: str, operation: int, options: Mapping[str, str] | None = None) -> Any:
    return FileOpenRequest(
        objPath=path,
        createMode=0,
        openFlags=0,
        offset=0,
        dataSize=0,
        numThreads=0,
        oprType=operation,
        KeyValPair_PI=StringStringMap(options),
    )


def _pair(source: Any, target: Any) -> Any:
    return ObjCopyRequest(srcDataObjInp_PI=source, destDataObjInp_PI=target)


def _send(irods: Any, api: str, body: Any) -> None:
    with irods.pool.get_connection() as connection:
        connection.send(iRODSMessage("RODS_API_REQ", msg=body, int_info=api_number[api]))
        connection.recv()
