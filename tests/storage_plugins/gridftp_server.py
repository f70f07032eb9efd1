"""Globus GridFTP servers of the tests' own, on 127.0.0.1: for anonymous users, and for one who has a proxy. And elements
on them."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from storage_plugins import registry
from storage_plugins.gridftp_copies import GridftpCopier
from tests.pki import Pki
from tests.servers import Running, free_port, running

_USER = "nobody"  # whom the server becomes when root starts it


@contextlib.contextmanager
def gridftp(pki: Pki | None = None, *, subject: str = "/O=TestGrid/CN=Alice Test") -> Iterator[tuple[Running, str]]:
    """The server, and the path of a folder that it can write to. With `pki` it lets in who has a certificate of
    this subject or a proxy of it; without, everybody."""
    folder = Path(tempfile.mkdtemp(prefix="gridftp-"))  # pytest's are closed to others, and it runs as another
    try:
        port = free_port()
        root = folder / "root"
        root.mkdir()
        user = _USER if os.geteuid() == 0 else getpass.getuser()
        folder.chmod(0o711)
        shutil.chown(root, user)
        command = ["globus-gridftp-server", "-c", "/dev/null", "-s", "-p", str(port)]
        command += ["-control-interface", "127.0.0.1", "-data-interface", "127.0.0.1", "-hostname", "localhost"]
        command += ["-disable-usage-stats", "-log-level", "ERROR,WARN,INFO", "-l", str(folder / "log")]
        env = {"GLOBUS_HOSTNAME": "localhost"}
        if pki is None:
            command += ["-aa", "-anonymous-user", user]
        else:
            env |= _identity(folder, pki, subject, user)
        with running(command, port, folder, env) as server:
            yield server, str(root)
    finally:
        shutil.rmtree(folder)


def _identity(folder: Path, pki: Pki, subject: str, user: str) -> Mapping[str, str]:
    (folder / "host.pem").touch(0o600)
    (folder / "host.pem").write_bytes(pki.host.read_bytes())
    shutil.copytree(pki.certificates, folder / "certificates", symlinks=True)
    (folder / "grid-mapfile").write_text(f'"{subject}" {user}\n')
    return {
        "GRIDMAP": str(folder / "grid-mapfile"),
        "X509_USER_CERT": str(folder / "host.pem"),
        "X509_USER_KEY": str(folder / "host.pem"),
        "X509_CERT_DIR": str(folder / "certificates"),
    }


@contextlib.asynccontextmanager
async def opened(options: Mapping[str, Any] = MappingProxyType({}), **changed: Any) -> AsyncIterator[GridftpCopier]:
    """An element that is ready to use."""
    element = registry.open("gridftp", {**options, **changed}, name="grid")
    assert isinstance(element, GridftpCopier)
    try:
        report = await element.probe(prepare=True)
        assert report.ok, report.error
        yield element
    finally:
        await element.aclose()
