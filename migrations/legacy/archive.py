"""A folder, tar or zip of dump files: their names and bytes. Nothing is unpacked to disk, and folders inside mean nothing."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from .dump_input import unpacked
from .records import printable
from .rows import BadSource

Files = dict[str, Callable[[], BinaryIO]]
BROKEN = (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError)


def files(name: str) -> Files | None:
    """{file name: how to open it}; None when `name` is no folder, tar (plain, gz, bz2, xz) or zip. Raises BadSource.

    Two files of one name in it are refused: one of them would be read in place of the other.
    """
    path = Path(name)
    try:
        if path.is_dir():
            return _unique(name, [(p.name, _opener(p)) for p in sorted(path.iterdir()) if p.is_file()])
        if not path.is_file():
            return None
        with open(path, "rb") as file:
            head = file.read(4)
        if head == b"PK\x03\x04":
            archive = zipfile.ZipFile(path)
            return _unique(name, [(i.filename, _member(archive, i)) for i in archive.infolist() if not i.is_dir()])
        if not _is_tar(path):
            return None
        tar = tarfile.open(path)  # noqa: SIM115 - its members are read later, one by one
        return _unique(name, [(m.name, _entry(tar, m)) for m in tar.getmembers() if m.isfile()])
    except BROKEN as error:
        raise BadSource(f"{name!a}: cannot be read ({why(error)}): copy it again", file=name) from None
    except RuntimeError as error:  # zipfile's word for a password
        raise BadSource(f"{name!a}: cannot be read ({why(error)}): unpack it first", file=name) from None


def why(error: BaseException) -> str:
    """An error's first line, fit to print."""
    return printable(str(error).partition("\n")[0].encode("utf-8", "replace"))[:200]


def _is_tar(path: Path) -> bool:
    """Tells by the first bytes: a tar that is cut short is one all the same."""
    with open(path, "rb") as raw:
        try:
            return unpacked(raw).read(512)[257:262] == b"ustar"
        except BROKEN:
            return False


def _unique(name: str, found: list[tuple[str, Callable[[], BinaryIO]]]) -> Files:
    files: Files = {}
    for path, opener in found:
        base = PurePosixPath(path).name
        if base in files:
            raise BadSource(f"{name!a}: two files in it are called {base!a}: one dump at a time", file=name)
        files[base] = opener
    return files


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: open(path, "rb")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    return lambda: cast("BinaryIO", archive.open(info))


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], BinaryIO]:
    return lambda: cast("BinaryIO", tar.extractfile(member))
