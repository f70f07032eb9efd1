"""Web servers as the tests run them: Apache with mod_dav, nginx, rclone."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers import Running, free_port, running

USER, PASSWORD = "alice", "pw ünd:more"

APACHE = """
ServerRoot /etc/apache2
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/error.log
User nobody
Group nogroup
DefaultRuntimeDir {folder}
Mutex file:{folder}/lock default
{modules}
DAVLockDB {folder}/lock/DavLock
DocumentRoot {folder}/data
<Directory {folder}/data>
  Dav On
  Options Indexes
  AuthType Basic
  AuthName lading
  AuthUserFile {folder}/htpasswd
  Require valid-user
</Directory>
"""
MODULES = [
    "mpm_event",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_user",
    "auth_basic",
    "dav",
    "dav_fs",
    "dir",
    "autoindex",
]

NGINX = """
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
daemon off;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/data;
    autoindex on;
    autoindex_format json;
  }}
}}
"""


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder with `data` that a server's own user can reach: pytest's tmp_path is for its owner alone."""
    folder = Path(tempfile.mkdtemp(prefix="lading-server-"))
    try:
        folder.chmod(0o755)
        for name in ("data", "lock"):
            (folder / name).mkdir()
            if os.getuid() == 0:
                shutil.chown(folder / name, "nobody", "nogroup")
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def apache() -> Iterator[Running]:
    with _folder() as folder:
        digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
        (folder / "htpasswd").write_text(f"{USER}:{{SHA}}{digest}\n")
        modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES)
        port = free_port()
        (folder / "apache.conf").write_text(APACHE.format(folder=folder, port=port, modules=modules))
        with running(["apache2", "-f", str(folder / "apache.conf"), "-DFOREGROUND"], port, folder) as server:
            yield server


@contextlib.contextmanager
def nginx() -> Iterator[tuple[Running, Path]]:
    """The server, and the folder it shows."""
    with _folder() as folder:
        port = free_port()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
        with running(["nginx", "-c", str(folder / "nginx.conf")], port, folder) as server:
            yield server, folder / "data"


@contextlib.contextmanager
def rclone() -> Iterator[Running]:
    with _folder() as folder:
        port = free_port()
        command = ["rclone", "serve", "webdav", "--addr", f"127.0.0.1:{port}", "--user", USER, "--pass", PASSWORD]
        with running([*command, str(folder / "data")], port, folder) as server:
            yield server
