"""Servers, and who is measured on them: the options of an element, and the commands of the client beside it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.pki import Pki
from tests.servers import program
from tests.storage_plugins import girder_server, gridftp_server, http_servers, s3_servers, sshd, xrootd_server

AT_ONCE = 8  # small files at a time


@dataclass
class Contest:
    """`put` (file, name), `get` (name) and `many` (folder, name) are commands of the client, run by a shell; what a
    client has not is None. `target` is the share of its rate that is wanted."""

    type: str
    options: dict[str, Any]
    client: str
    target: float
    put: Callable[[Path, str], str] | None = None
    get: Callable[[str], str] | None = None
    many: Callable[[Path, str], str] | None = None
    many_client: str = "rclone"
    env: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Path, str], None] | None = None  # for who can't write: lay the file there
    memory: int = 100  # MB
    unsynced: dict[str, Any] = field(default_factory=dict)  # options for small files: rclone syncs nothing either


@contextlib.contextmanager
def posix(folder: Path) -> Iterator[Contest]:
    root = folder / "root"
    root.mkdir()
    check = "python3 -c 'import sys, zlib; s = 1\nwhile b := sys.stdin.buffer.read(1 << 20): s = zlib.adler32(b, s)'"
    yield Contest(
        "posix",
        {"path": str(root)},
        "cp, sync, checksum",
        0.8,
        lambda file, name: (
            f"rm -f {root}/c-{name}; cp {file} {root}/c-{name} && sync {root}/c-{name} && {check} < {root}/c-{name}"
        ),
        lambda name: f"{check} < {root}/{name}",
        _rclone(f":local:{root}"),
        unsynced={"fsync": False},
    )


@contextlib.contextmanager
def sftp(folder: Path) -> Iterator[Contest]:
    with sshd.sshd(folder) as (server, options):
        root = folder / "root"
        root.mkdir()
        (folder / "known").write_text(f"[127.0.0.1]:{server.port} {options['host_key']}")
        user = options["user"]
        ssh = f"-q -oUserKnownHostsFile={folder}/known -i {folder}/user -P {server.port} {user}@127.0.0.1"
        remote = f":sftp,host=127.0.0.1,port={server.port},user={user},key_file={folder}/user,shell_type=none:{root}"
        yield Contest(
            "sftp",
            {**options, "path": str(root)},
            "sftp",
            0.7,
            lambda file, name: f"echo put {file} {root}/c-{name} | sftp -b - {ssh}",
            lambda name: f"echo get {root}/{name} /dev/null | sftp -b - {ssh}",
            _rclone(remote),
            unsynced={"fsync": False},
        )


@contextlib.contextmanager
def webdav(_: Path) -> Iterator[Contest]:
    with http_servers.apache() as server:
        url = f"http://127.0.0.1:{server.port}"
        login = f"-u '{http_servers.USER}:{http_servers.PASSWORD}'"
        hidden = subprocess.check_output([program("rclone"), "obscure", http_servers.PASSWORD], text=True).strip()
        yield Contest(
            "webdav",
            {"url": url + "/", "username": http_servers.USER, "password": http_servers.PASSWORD},
            "curl",
            0.8,
            lambda file, name: f"curl -sSf {login} -T {file} {url}/c-{name}",
            lambda name: f"curl -sSf {login} -o /dev/null {url}/{name}",
            _rclone(f":webdav,url='{url}',user={http_servers.USER},pass={hidden}:"),
        )


@contextlib.contextmanager
def http(_: Path) -> Iterator[Contest]:
    with http_servers.nginx() as (server, root):
        url = f"http://127.0.0.1:{server.port}"

        def lay(file: Path, name: str) -> None:
            subprocess.run(["cp", file, root / name], check=True)

        yield Contest(
            "http",
            {"url": url + "/"},
            "curl",
            0.8,
            get=lambda name: f"curl -sSf -o /dev/null {url}/{name}",
            prepare=lay,
        )


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[Contest]:
    with s3_servers.weed(folder) as server:
        options = s3_servers.login(server.port)
        remote = f":s3,provider=Other,endpoint='{options['endpoint']}',access_key_id={options['access_key']}"
        remote += f",secret_access_key={options['secret_key']},chunk_size=16Mi,upload_concurrency=4:{options['bucket']}"
        yield Contest(
            "s3",
            options,
            "rclone",
            0.8,
            lambda file, name: f'{program("rclone")} copyto --ignore-times {file} "{remote}/c-{name}"',
            lambda name: (
                f'{program("rclone")} copyto --ignore-times --multi-thread-streams 4 --multi-thread-chunk-size 16Mi "{remote}/{name}" {folder}/back'
            ),
            _rclone(remote),
            memory=250,
        )


@contextlib.contextmanager
def gridftp(_: Path) -> Iterator[Contest]:
    with gridftp_server.gridftp() as (server, root):
        url = f"ftp://127.0.0.1:{server.port}{root}"
        yield Contest(
            "gridftp",
            {"url": url},
            "globus-url-copy",
            0.7,
            lambda file, name: f"globus-url-copy -fast -p 4 file://{file} {url}/c-{name}",
            lambda name: f"globus-url-copy -fast -p 4 {url}/{name} file:///dev/null",
            lambda files, name: f"globus-url-copy -fast -cd -cc {AT_ONCE} file://{files}/ {url}/{name}/",
            "globus-url-copy",
        )


@contextlib.contextmanager
def xrootd(folder: Path) -> Iterator[Contest]:
    with xrootd_server.xrootd(Pki(folder / "pki"), xrootd_server.ANONYMOUS) as server:
        url = f"root://localhost:{server.port}//data"
        yield Contest(
            "xrootd",
            {"url": url},
            "xrdcp",
            0.7,
            lambda file, name: f"xrdcp -f -s {file} {url}/c-{name}",
            lambda name: f"xrdcp -f -s {url}/{name} /dev/null",
            lambda files, name: (
                f"xrdfs localhost:{server.port} mkdir -p /data/{name}; xrdcp -r -s --parallel 4 {files} {url}/{name}/"
            ),  # 4 is all it does
            "xrdcp --parallel 4",
            unsynced={"fsync": False},
        )


@contextlib.contextmanager
def girder(folder: Path) -> Iterator[Contest]:
    with girder_server.girder(folder, "hashsum_download") as server:
        options = server.options("/collection/science/bench")
        client = folder / "client.py"
        client.write_text(_GIRDER_CLIENT.format(url=server.url, key=options["api_key"], root=options["root"]))
        run = f"{girder_server.PYTHON} {client}"
        yield Contest(
            "girder",
            options,
            "girder-client",
            0.8,
            lambda file, name: f"{run} put {file} c-{name}",
            lambda name: f"{run} get {name} {folder}/back",  # its own move would replace /dev/null
        )


_GIRDER_CLIENT = """
import sys
import girder_client

_, work, path, name = sys.argv
client = girder_client.GirderClient(apiUrl="{url}")
client.authenticate(apiKey="{key}")
if work == "put":
    folder = client.resourceLookup("{root}")["_id"]
    item = client.createItem(folder, name, reuseExisting=True)["_id"]
    for file in client.listFile(item):
        client.delete("file/" + file["_id"])
    client.uploadFileToItem(item, path, filename=name)
else:
    item = client.resourceLookup("{root}/" + path)["_id"]
    client.downloadFile(next(client.listFile(item))["_id"], name)
"""


def _rclone(remote: str) -> Callable[[Path, str], str]:
    flags = f"--transfers {AT_ONCE} --checkers {AT_ONCE} --no-traverse --no-check-dest"
    return lambda files, name: f'{program("rclone")} copy {flags} {files} "{remote}/{name}"'


CONTESTS = {one.__name__: one for one in (posix, sftp, webdav, http, s3, gridftp, xrootd, girder)}
ENVIRONMENT = {**os.environ, "RCLONE_CONFIG": "/dev/null"}
