"""XRootD as the tests run it: its HTTPS door, with third-party copies and macaroons, and its own protocol."""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.pki import Pki
from tests.servers import Running, free_port, running

_COMMON = """
all.export /
all.adminpath {folder}/adm
all.pidpath {folder}/run
all.sitename TEST
oss.localroot {folder}/data
xrd.port {port}
xrootd.chksum max 2 adler32 crc32c md5
"""
# Root protocol for everybody; it fetches from other servers as nobody in particular.
ANONYMOUS = (
    _COMMON
    + """
ofs.tpc ttl 60 60 autorm pgm /usr/bin/xrdcp --server
"""
)
_TLS = """
xrd.tls {folder}/host.pem {folder}/host.pem
xrd.tlsca certdir {ca}
xrootd.tls capable all
xrootd.seclib libXrdSec.so
ofs.authorize 1
acc.authdb {folder}/authdb
"""
# Root protocol for whoever has the user certificate, or a proxy of it.
GSI = (
    _COMMON
    + _TLS
    + """
sec.protocol gsi -cert:{folder}/host.pem -key:{folder}/host.pem -certdir:{ca} -gridmap:{folder}/grid-mapfile -gmapopt:1 -crl:0
sec.protbind * only gsi
"""
)
DOOR = (
    _COMMON
    + _TLS
    + """
xrd.protocol http:{port} libXrdHttp.so
sec.protocol unix
sec.protbind * only unix
http.gridmap {folder}/grid-mapfile
http.listingdeny no
http.desthttps no
http.selfhttps2http no
http.exthandler xrdtpc libXrdHttpTPC.so
http.exthandler xrdmacaroons libXrdMacaroons.so
macaroons.secretkey {folder}/secret
http.header2cgi Authorization authz
ofs.authlib libXrdMacaroons.so
"""
)


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="lading-server-"))


@contextlib.contextmanager
def xrootd(pki: Pki, config: str = DOOR, *, folder: Path | None = None, limit: str = "") -> Iterator[Running]:
    """Whoever comes with the user certificate of `pki` may do everything; nobody else may do anything, unless `config`
    is ANONYMOUS. `limit`: options of the shell's `ulimit`. The data are in `data` below `folder`, a new one of mode 0700."""
    folder = folder or new_folder()
    try:
        port = free_port()
        shutil.copytree(pki.certificates, folder / "certificates", symlinks=True)
        shutil.copy(pki.host, folder / "host.pem")
        for name in ("data", "adm", "run"):
            (folder / name).mkdir()
        (folder / "secret").write_bytes(base64.encodebytes(secrets.token_bytes(64)))
        (folder / "authdb").write_text("u alice / a\n")
        (folder / "grid-mapfile").write_text('"/O=TestGrid/CN=Alice Test" alice\n')
        (folder / "xrootd.cfg").write_text(config.format(folder=folder, port=port, ca=folder / "certificates"))
        shim = Path(__file__).with_name("loopback.c")
        subprocess.check_call(["gcc", "-shared", "-fPIC", "-O2", "-o", folder / "loopback.so", shim, "-ldl"])
        command = ["xrootd", "-I", "v4", "-c", str(folder / "xrootd.cfg"), "-n", "test", "-l", str(folder / "log")]
        if os.getuid() == 0:  # which it refuses to be
            user = pwd.getpwnam("xrootd")
            for path in (folder, *folder.rglob("*")):
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
            command = ["setpriv", "--reuid=xrootd", "--regid=xrootd", "--clear-groups", *command]
        if limit:
            command = ["sh", "-c", f"trap '' XFSZ; ulimit {limit} && exec \"$@\"", "sh", *command]
        for private in ("host.pem", "secret"):
            (folder / private).chmod(0o600)
        env = {
            "LD_PRELOAD": str(folder / "loopback.so"),
            "X509_CERT_DIR": str(folder / "certificates"),
            "HOME": str(folder),
        }
        with running(command, port, folder, env) as server:
            yield server
    finally:
        shutil.rmtree(folder)
