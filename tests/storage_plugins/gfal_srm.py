"""SRM as far as it differs, for want of a server that runs here: gfal2 itself on this host's files, with the names of SRM,
a rename that replaces nothing, and tape behind.

A program that runs in place of Debian's Python (`gfal_srm.py -I PROGRAM`); the fixture `srm` has elements use it.
"""

from __future__ import annotations

import errno
import os
import runpy
import sys
import types
from typing import Any

TAPE = ".on-tape"  # a file beside an object that is on tape alone


def _local(value: Any) -> Any:
    if isinstance(value, list):
        return [_local(one) for one in value]
    return "file://" + value.partition("?SFN=")[2] if isinstance(value, str) and value.startswith("srm://") else value


def main() -> None:
    import gfal2

    class Context:
        def __init__(self) -> None:
            self._real = gfal2.creat_context()

        def __getattr__(self, name: str) -> Any:
            real = getattr(self._real, name)
            return lambda *arguments: real(*map(_local, arguments))

        def rename(self, source: str, target: str) -> Any:
            if os.path.exists(_local(target)[len("file://") :]):
                raise gfal2.GError("srm-ifce: SRM_DUPLICATION_ERROR", errno.EEXIST)
            return self._real.rename(_local(source), _local(target))

        def getxattr(self, url: str, _: str) -> str:
            path = _local(url)[len("file://") :]
            if not os.path.exists(path):
                raise gfal2.GError("SRM_INVALID_PATH", errno.ENOENT)
            return "NEARLINE " if os.path.exists(path + TAPE) else "ONLINE_AND_NEARLINE"

        def bring_online(self, urls: list[str], *_: Any) -> tuple[list[Any], str]:
            gone = [not os.path.exists(_local(url)[len("file://") :]) for url in urls]
            return [gfal2.GError("SRM_INVALID_PATH", errno.ENOENT) if one else None for one in gone], os.urandom(
                4
            ).hex()

        def release(self, urls: list[str], _: str) -> list[None]:
            return [None for _ in urls]

    fake: Any = types.ModuleType("gfal2")
    fake.creat_context, fake.GError, fake.get_version = Context, gfal2.GError, gfal2.get_version
    sys.modules["gfal2"] = fake
    runpy.run_path(sys.argv[-1], run_name="__main__")


if __name__ == "__main__":
    main()
