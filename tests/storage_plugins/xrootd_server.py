"""XRootD's HTTPS door, with third-party copies and macaroons, as the tests run it."""

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

CONFIG = """
all.export /
all.adminpath {folder}/adm
all.pidpath {folder}/run
all.sitename TEST
oss.localroot {folder}/data
xrd.port {port}
xrd.protocol http:{port} libXrdHttp.so
xrd.tls {folder}/host.pem {folder}/host.pem
xrd.tlsca certdir {ca}
xrootd.tls capable all
xrootd.seclib libXrdSec.so
sec.protocol unix
sec.protbind * only unix
xrootd.chksum max 2 adler32 crc32c md5
http.gridmap {folder}/grid-mapfile
http.listingdeny no
http.desthttps no
http.selfhttps2http no
http.exthandler xrdtpc libXrdHttpTPC.so
http.exthandler xrdmacaroons libXrdMacaroons.so
macaroons.secretkey {folder}/secret
http.header2cgi Authorization authz
ofs.authorize 1
ofs.authlib libXrdMacaroons.so
acc.authdb {folder}/authdb
"""


@contextlib.contextmanager
def xrootd(pki: Pki) -> Iterator[Running]:
    """Whoever comes with the user certificate of `pki` may do everything; nobody else may do anything."""
    folder = Path(tempfile.mkdtemp(prefix="lading-server-"))
    try:
        port = free_port()
        shutil.copytree(pki.certificates, folder / "certificates", symlinks=True)
        shutil.copy(pki.host, folder / "host.pem")
        for name in ("data", "adm", "run"):
            (folder / name).mkdir()
        (folder / "secret").write_bytes(base64.encodebytes(secrets.token_bytes(64)))
        (folder / "authdb").write_text("u alice / a\n")
        (folder / "grid-mapfile").write_text('"/O=TestGrid/CN=Alice Test" alice\n')
        (folder / "xrootd.cfg").write_text(CONFIG.format(folder=folder, port=port, ca=folder / "certificates"))
        shim = Path(__file__).with_name("loopback.c")
        subprocess.check_call(["gcc", "-shared", "-fPIC", "-O2", "-o", folder / "loopback.so", shim, "-ldl"])
        command = ["xrootd", "-I", "v4", "-c", str(folder / "xrootd.cfg"), "-n", "test", "-l", str(folder / "log")]
        if os.getuid() == 0:  # which it refuses to be
            user = pwd.getpwnam("xrootd")
            for path in (folder, *folder.rglob("*")):
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
            command = ["setpriv", "--reuid=xrootd", "--regid=xrootd", "--clear-groups", *command]
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
