"""An OpenSSH server of the tests' own, run by whoever runs the tests and for that user alone."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers import Running, free_port, program, running

_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
Subsystem sftp internal-sftp
ForceCommand internal-sftp
"""


def make_key(path: Path, passphrase: str = "") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True)


@contextlib.contextmanager
def sshd(folder: Path, *, limit: str = "") -> Iterator[tuple[Running, dict[str, Any]]]:
    """The server, and the options of an element on it but `path`. `limit` is one that `ulimit` sets."""
    make_key(folder / "host")
    make_key(folder / "user")
    port = free_port()
    config = folder / "sshd_config"
    config.write_text(_CONFIG.format(port=port, folder=folder))
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    command = [program("sshd"), "-D", "-e", "-f", str(config)]  # it wants its full path
    if limit:  # SIGXFSZ, when ignored, becomes an error of write(2)
        command = ["sh", "-c", f"trap '' XFSZ; ulimit {limit}; exec \"$@\"", "sh", *command]
    options = {
        "host": "127.0.0.1",
        "port": port,
        "user": getpass.getuser(),
        "key_file": str(folder / "user"),
        "host_key": (folder / "host.pub").read_text(),
    }
    with running(command, port, folder) as server:
        yield server, options
