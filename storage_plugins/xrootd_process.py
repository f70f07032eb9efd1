"""XRootD's client as one process has it: its settings, whom it trusts, and its end. All of this is process-wide there.

The first element that needs to know whom to trust decides for the process: another folder of CAs is refused afterwards
(ADR 11). An operator's own XRD_… variables win over the timeouts set here.
"""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
from pathlib import Path

import pyxrootd.client
from XRootD.client import env, finalize

from .errors import InvalidOptions, Unavailable

_GIVEN = os.environ.get("X509_CERT_DIR") or "/etc/grid-security/certificates"
_FOLDER = tempfile.TemporaryDirectory(prefix="lading-xrootd-")
_TRUSTED = Path(_FOLDER.name, "trusted")

_SETTINGS = {
    "TimeoutResolution": 1,  # seconds; 15 otherwise, and a timeout of 3 s would take so long
    "ConnectionWindow": 20,  # seconds for a connection; 120 otherwise
    "ConnectionRetry": 1,  # of connections: to whom nobody listens is away. 5 windows otherwise
    "StreamErrorWindow": 0,  # seconds in which a server that was away is not asked again; 1800 otherwise
    "RequestTimeout": 60,  # where none is given; 1800 otherwise
    "StreamTimeout": 60,  # of silence while an answer is due, then the connection is given up
    "RunForkHandler": 0,  # its handler may hang a fork, and a child that is to exec needs none
    "NoTlsOK": 0,
}
_ENVIRONMENT = {
    # Only what elements have options for: nothing that lies about on the host (Kerberos tickets, keytabs) is tried.
    "XrdSecPROTOCOL": "ztn,gsi,unix,host",
    "XrdSecGSICREATEPROXY": "0",  # it would run a program that asks on a terminal
    "XrdSecGSITRUSTDNS": "0",  # a host is who its certificate says, not who an address leads back to
}
# Where the client finds credentials that no option can keep it from sending.
_AMBIENT = ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "X509_USER_PROXY", "X509_USER_KEY")
_pid = os.getpid()
_lock = threading.Lock()
_decided: Path | None = None


def _prepare() -> None:
    """The folder of CAs is a link that `trust` turns: where it points to is looked up with every certificate."""
    nobody = Path(_FOLDER.name, "nobody")
    nobody.mkdir(mode=0o700)
    _TRUSTED.symlink_to(nobody)
    os.environ["X509_CERT_DIR"] = str(_TRUSTED)
    os.environ.pop("X509_CERT_FILE", None)  # it would be trusted beside the folder
    for variable, default in _ENVIRONMENT.items():
        os.environ.setdefault(variable, default)
    for name, value in _SETTINGS.items():
        env.EnvPutInt(name, value)
    atexit.unregister(finalize.finalize)  # it closes files one by one, and waits for silent servers
    atexit.register(_end)


def _end() -> None:
    """Before the interpreter ends no thread of the client may call Python any more. Files that are open are closed by
    the server, which loses its connection."""
    if os.getpid() == _pid:  # a fork has none of these threads, and would wait for them
        pyxrootd.client.__XrdCl_Stop_Threads()


def trust(folder: str | None) -> None:
    """Certificates of this folder's CAs are good in this process. Raises InvalidOptions when another was decided on, or
    when it can be none."""
    global _decided  # noqa: PLW0603  (the client has one such setting in a process)
    wanted = Path(folder or _GIVEN)
    with _lock:
        if _decided is not None and _decided != wanted:
            raise InvalidOptions(
                f"XRootD's client trusts one folder of CAs in a process, and here it is {_decided}: put the CAs of all"
                " XRootD elements into one, or start the server again"
            )
        if not wanted.is_dir():
            raise InvalidOptions(f"option 'ca': {wanted} is no folder")
        if wanted.stat().st_mode & 0o022:  # the client would go on without TLS
            raise InvalidOptions(f"option 'ca': others than its owner may write into {wanted}")
        if _decided is None:
            turned = Path(_FOLDER.name, "turned")
            turned.symlink_to(wanted.absolute())
            turned.replace(_TRUSTED)
            _decided = wanted


def check_fork() -> None:
    """Raises Unavailable in a forked process."""
    if os.getpid() != _pid:
        raise Unavailable("XRootD's client does not survive a fork: it was used in the parent process")


def check_usable(*, secure: bool) -> None:
    """Raises Unavailable where TLS is needed and switched off; InvalidOptions where the client would find credentials
    by itself and send them."""
    if secure and env.EnvGetInt("NoTlsOK"):
        raise Unavailable("XRootD's client goes on without TLS here (NoTlsOK): roots:// is not safe")
    usual, me = "/tmp", os.geteuid()  # noqa: S108  (where the client looks)
    runtime = os.environ.get("XDG_RUNTIME_DIR") or usual
    found = [f"${name}" for name in _AMBIENT if os.environ.get(name)]
    found += [path for path in (f"{runtime}/bt_u{me}", f"{usual}/bt_u{me}", f"{usual}/x509up_u{me}") if _there(path)]
    if found:
        raise InvalidOptions(
            f"{found[0]} is not to be there: XRootD's client would send it, whatever an element's options say"
        )


def _there(path: str) -> bool:
    return Path(path).exists()


_prepare()
