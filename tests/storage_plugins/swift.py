"""OpenStack Swift with its S3 door, on one node with one disk that is a folder. Needs root: it runs as user swift."""

from __future__ import annotations

import contextlib
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers import Running, free_port, program, running

USER, KEY = "test:tester", "testing"  # of the S3 door

_COMMON = """
[swift-hash]
swift_hash_path_prefix = pfx
swift_hash_path_suffix = sfx
[storage-policy:0]
name = default
default = yes
[swift-constraints]
max_file_size = 5368709122
"""
_SERVER = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 1
swift_dir = {folder}
devices = {folder}/srv
mount_check = false
user = swift
log_level = WARNING
log_address = {folder}/log
"""
_STORE = """
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
# proxy-logging is not for its logs: without it a HEAD that fails is answered with a body.
_FILTERS = (
    "catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk tempurl s3api tempauth copy slo dlo "
    "versioned_writes symlink proxy-logging"
)
_PROXY = """
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
force_swift_request_proxy_log = false
max_upload_part_num = 10000
check_bucket_owner = false
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache}
"""


@contextlib.contextmanager
def swift() -> Iterator[Running]:
    """The proxy."""
    folder = Path(tempfile.mkdtemp(prefix="lading-swift-"))  # pytest's tmp_path is for its owner alone
    try:
        with contextlib.ExitStack() as stack:
            yield _started(folder, stack)
    finally:
        shutil.rmtree(folder)


def _started(folder: Path, stack: contextlib.ExitStack) -> Running:
    folder.chmod(0o755)
    (folder / "srv" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(_COMMON)
    ports = {kind: free_port() for kind in ("account", "container", "object", "proxy")}
    cache = free_port()
    for kind, port in ports.items():
        text = _SERVER.format(port=port, folder=folder)
        if kind == "proxy":
            text += f"expose_info = true\n[pipeline:main]\npipeline = {_FILTERS} proxy-server\n"
            text += _PROXY.format(cache=cache)
            plain = set(_FILTERS.split()) - {"tempauth", "s3api", "cache"}
            text += "".join(f"[filter:{name}]\nuse = egg:swift#{name.replace('-', '_')}\n" for name in sorted(plain))
        else:
            text += _STORE.format(kind=kind)
            ring = [program("swift-ring-builder"), str(folder / f"{kind}.builder")]
            for step in (("create", "6", "1", "1"), ("add", f"r1z1-127.0.0.1:{port}/d1", "1"), ("rebalance",)):
                subprocess.run([*ring, *step], check=True, stdout=subprocess.DEVNULL)
        (folder / f"{kind}.conf").write_text(text)
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, "swift", "swift")
    assert pwd.getpwnam("swift")
    as_swift = ["setpriv", "--reuid", "swift", "--regid", "swift", "--clear-groups", "env", f"HOME={folder}"]
    stack.enter_context(
        running(
            ["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(cache), "-U", "0", "-m", "64"], cache, folder
        )
    )
    started = [
        stack.enter_context(
            running([*as_swift, program(f"swift-{kind}-server"), str(folder / f"{kind}.conf")], port, folder)
        )
        for kind, port in ports.items()
    ]
    return started[-1]
