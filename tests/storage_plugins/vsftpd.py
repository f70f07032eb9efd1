"""An FTP server of the tests' own, for anonymous users, on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers import Running, free_port, running

_CONFIG = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root={root}
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_umask=022
write_enable=YES
force_dot_files=YES
pasv_address=127.0.0.1
seccomp_sandbox=NO
"""
# As root it changes to the user ftp (of Debian's package), and locks itself into the root folder; others run it as themselves, without a lock.
_AS_ROOT = """
ftp_username=ftp
nopriv_user=nobody
secure_chroot_dir={folder}/empty
"""
_AS_USER = "run_as_launching_user=YES\n"


@contextlib.contextmanager
def vsftpd() -> Iterator[tuple[Running, str]]:
    """The server, and the URL of a folder that it lets everybody write to."""
    folder = Path(tempfile.mkdtemp(prefix="vsftpd-"))  # pytest's are closed to others, and it runs as another
    try:
        port = free_port()
        for name in ("root/se", "empty"):
            (folder / name).mkdir(parents=True)
        config = _CONFIG + (_AS_ROOT if os.geteuid() == 0 else _AS_USER)
        (folder / "conf").write_text(config.format(port=port, root=folder / "root", folder=folder))
        url = f"ftp://127.0.0.1:{port}"
        if os.geteuid() == 0:
            folder.chmod(0o711)
            shutil.chown(folder / "root/se", "ftp")
            url += "/se"
        else:
            url += f"{folder}/root/se"
        with running(["vsftpd", str(folder / "conf")], port, folder) as server:
            yield server, url
    finally:
        shutil.rmtree(folder)
