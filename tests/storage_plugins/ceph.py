"""A Ceph cluster of the tests' own, as small as they come: one monitor, manager, disk and S3 gateway. Needs root."""

from __future__ import annotations

import contextlib
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.servers import Running, free_port, program, running

ACCESS, SECRET = "AKIATEST01", "SKsecretSKsecret"

_CONFIG = """
[global]
fsid = {fsid}
mon_host = {addresses}
auth_allow_insecure_global_id_reclaim = false
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
run_dir = {folder}
admin_socket = {folder}/$name.asok
pid_file = {folder}/$name.pid
log_file = {folder}/$name.log
log_to_stderr = false
crash_dir = {folder}
keyring = {folder}/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
[mon]
mon_data = {folder}/mon
[mgr]
public_addr = 127.0.0.1
mgr_data = {folder}/mgr
mgr_disabled_modules = dashboard restful diskprediction_local
[osd]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
osd_data = {folder}/osd
osd_objectstore = bluestore
bluestore_block_size = 10737418240
bluestore_block_create = true
osd_memory_target = 1073741824
osd_max_object_name_len = 460
osd_class_update_on_start = false
[client.rgw]
rgw_data = {folder}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_thread_pool_size = 64
"""


@contextlib.contextmanager
def ceph(folder: Path) -> Iterator[Running]:
    """The gateway, once a user with the tests' key is there."""
    for name in ("mon", "osd", "mgr", "rgw"):
        (folder / name).mkdir()
    mon, old, port = free_port(), free_port(), free_port()
    addresses = f"[v2:127.0.0.1:{mon},v1:127.0.0.1:{old}]"
    fsid, config = str(uuid.uuid4()), folder / "ceph.conf"
    config.write_text(_CONFIG.format(fsid=fsid, addresses=addresses, port=port, folder=folder))

    def run(name: str, *arguments: str, conf: bool = True) -> str:
        command = ["timeout", "60", program(name), *(("-c", str(config)) if conf else ()), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout

    keyring, monmap = str(folder / "keyring"), str(folder / "monmap")
    run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", addresses, monmap, conf=False)
    run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *", conf=False)
    for name in ("client.admin", "client.rgw", "mgr.x", "osd.0"):
        caps = [word for daemon in ("mon", "osd", "mgr") for word in ("--cap", daemon, "allow *")]
        run("ceph-authtool", keyring, "--gen-key", "-n", name, *caps, conf=False)
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
    with contextlib.ExitStack() as stack:

        def start(port: int, name: str, *arguments: str) -> Running:
            return stack.enter_context(running([name, "-c", str(config), "-f", *arguments], port, folder))

        start(mon, "ceph-mon", "-i", "a")
        start(mon, "ceph-mgr", "-i", "x")
        disk = str(uuid.uuid4())
        run("ceph", "osd", "new", disk)
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        start(mon, "ceph-osd", "-i", "0")
        end = time.monotonic() + 60
        while "1 up" not in run("ceph", "osd", "stat"):
            assert time.monotonic() < end, "the disk does not come up"
            time.sleep(0.1)
        gateway = start(port, "radosgw", "-n", "client.rgw")
        user = ("user", "create", "--uid=t", "--display-name=t", f"--access-key={ACCESS}", f"--secret-key={SECRET}")
        run("radosgw-admin", "-n", "client.admin", *user)
        yield gateway
