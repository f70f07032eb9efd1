"""Which reader a dump needs, told by its first bytes: mysqldump's SQL, its --tab files, or its --xml."""

from __future__ import annotations

from . import archive
from .dump_input import DumpInput
from .lfc import WANTED, Lfc
from .lfc_layouts import advice, layout
from .mysql_xml import MysqlXml
from .mysqldump import MysqlDump
from .rows import Reader
from .tab_files import TabFiles


def open_lfc(
    name: str,
    *,
    charset: str | None = None,
    client: str | None = None,
    schema_version: str | None = None,
    partial: bool = False,
) -> Lfc:
    """The LFC in a dump: a file (plain, gz, bz2, xz), `-` for the standard input, or a folder, tar or zip of --tab files.

    `charset` and `client` are `Originals`'. `schema_version` tells the columns of a dump that does not; `partial` takes one
    that lacks tables. Raises BadSource, InvalidRequest.
    """
    return Lfc(_reader(name, charset, client, schema_version), partial=partial)


def _reader(name: str, charset: str | None, client: str | None, schema_version: str | None) -> Reader:
    columns = layout(schema_version)
    files = None if name == "-" else archive.files(name)
    if files is not None:
        return TabFiles(name, files, WANTED, charset=charset, client=client, fallback=columns)
    dump = DumpInput(name)
    if dump.head.startswith(b"<?xml"):
        return MysqlXml(dump, WANTED, charset=charset, client=client)
    return MysqlDump(dump, WANTED, charset=charset, client=client, fallback=columns, advice=advice)
