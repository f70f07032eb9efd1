"""A fake iRODS server that speaks the real protocol: what is tested goes through the real python-irodsclient.

It runs in threads of this process, so that a test can look at the zone, spoil it, and tell the server to misbehave.
Messages are packed and unpacked with the client's own classes. No substitute for a real zone: it shows that the plug-in
calls the client rightly, and what it makes of what iRODS was seen to do, not what iRODS does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import ssl
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import irods.exception as ex
from irods.api_number import api_number
from irods.message import (
    STR_PI,
    BinBytesBuf,
    ClientServerNegotiation,
    CollectionRequest,
    FileOpenRequest,
    FileSeekResponse,
    GenQuery2Request,
    GenQueryRequest,
    MetadataRequest,
    OpenedDataObjRequest,
    StartupPack,
    VersionResponse,
)

from tests.storage_plugins.irods_fake_queries import Pages, genquery2
from tests.storage_plugins.irods_fake_wire import Wire, ends, options, read
from tests.storage_plugins.irods_fake_zone import Opened, Refused, Zone

_API = {number: name for name, number in api_number.items()}
CHALLENGE = "0123456789abcdef" * 4
Fault = Callable[["Agent"], None]


def refuse(code: int) -> Fault:
    def fault(agent: Agent) -> None:
        raise Refused(code)

    return fault


def hang_up(agent: Agent) -> None:
    raise ConnectionError


def slow(seconds: float) -> Fault:
    return lambda agent: time.sleep(seconds)


class FakeServer:
    """`faults`: {name of an API: what befalls its next calls}, before they are done; in `afterwards`, when they are."""

    def __init__(self, zone: Zone, *, user: str = "lading", password: str = "p@ss; word", version: str = "5.0.2") -> None:  # fmt: skip
        self.zone, self.version = zone, version
        self.users = {user: password}
        self.pam: dict[str, str] = {}
        self.tls: ssl.SSLContext | None = None
        self.faults: dict[str, deque[Fault]] = {}
        self.afterwards: dict[str, deque[Fault]] = {}
        self.calls: Counter[str] = Counter()
        self.clients: list[str] = []  # whom each connection acts for
        self.agents: set[Agent] = set()
        self.crashes: list[str] = []
        self.port = 0
        self._listener: socket.socket | None = None

    def start(self) -> None:
        self._listener = socket.create_server(("", self.port))  # 127.0.0.2 too
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def stop(self) -> None:
        """Its clients are cut off too."""
        if self._listener:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for agent in list(self.agents):
            agent.cut()

    def fault(self, api: str, *faults: Fault) -> None:
        self.faults.setdefault(api, deque()).extend(faults)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Agent(self, connection).start()


class Agent(Wire):
    """Serves one connection."""

    def __init__(self, server: FakeServer, connection: socket.socket) -> None:
        super().__init__(connection)
        self.server, self.zone = server, server.zone
        self._opened: dict[int, Opened] = {}
        self._pages = Pages()
        self._user: str | None = None
        server.agents.add(self)

    def cut(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        try:
            self._greet()
            while True:
                kind, number, body, data = self.receive()
                if kind == "RODS_DISCONNECT":
                    return
                self._serve(_API[number], body, data)
        except (OSError, EOFError):
            return  # the client is gone
        except Exception:
            self.server.crashes.append(traceback.format_exc())
        finally:
            for opened in self._opened.values():
                self.zone.abandon(opened)
            self.cut()
            self.socket.close()
            self.server.agents.discard(self)

    def _serve(self, api: str, body: bytes, data: bytes) -> None:
        self.server.calls[api] += 1
        try:
            if faults := self.server.faults.get(api):
                faults.popleft()(self)
            if self._user is None and api != "AUTHENTICATION_APN":
                raise Refused(ex.SYS_NO_API_PRIV)
            if api in ("DATA_OBJ_READ_AN", "DATA_OBJ_WRITE_AN"):
                self._bytes(api, read(OpenedDataObjRequest, body), data)
                return
            with self.zone.lock:
                answer = getattr(self, f"_{api.lower()}")(body)
            if faults := self.server.afterwards.get(api):
                faults.popleft()(self)
        except Refused as refused:
            text = STR_PI(myStr=refused.text) if refused.text else None
            self.answer(text, refused.code)
        else:
            self.answer(*answer) if isinstance(answer, tuple) else self.answer(answer)

    # greeting

    def _greet(self) -> None:
        _, _, body, _ = self.receive()
        startup = read(StartupPack, body, None, None)
        self.server.clients.append(startup.clientUser)
        negotiates = "request_server_negotiation" in startup.option
        if self.server.tls and not negotiates:
            raise ConnectionError
        encrypted = False
        if negotiates:
            wish = "CS_NEG_REQUIRE" if self.server.tls else "CS_NEG_REFUSE"
            self.send("RODS_CS_NEG_T", ClientServerNegotiation(status=1, result=wish))
            _, _, body, _ = self.receive()
            encrypted = "CS_NEG_USE_SSL" in read(ClientServerNegotiation, body).result
        version = VersionResponse(
            status=0, relVersion=f"rods{self.server.version}", apiVersion="d", reconnPort=0, reconnAddr="", cookie=400
        )
        self.send("RODS_VERSION", version)
        if encrypted:
            assert self.server.tls
            self.socket = self.server.tls.wrap_socket(self.socket, server_side=True)
            self.header()  # what to encrypt with; then the key
            self.receive()

    def _authentication_apn(self, body: bytes) -> Any:
        request = json.loads(read(BinBytesBuf, body).buf)
        answer = dict(request)
        user = request["user_name"]
        if request["next_operation"] == "auth_agent_auth_request":
            if request["scheme"] == "pam_password" and "a_pw" in request:
                if self.server.pam.get(user) != request["a_pw"]:
                    raise Refused(ex.PAM_AUTH_PASSWORD_FAILED)
                self.server.users[user] = answer["request_result"] = "made-by-the-server"
            else:
                answer["request_result"] = CHALLENGE
        else:
            if user not in self.server.users:
                raise Refused(ex.CAT_INVALID_USER)
            padded = self.server.users[user].encode().ljust(50, b"\0")
            digest = hashlib.md5(CHALLENGE.encode() + padded).digest().replace(b"\0", b"\1")
            if base64.b64decode(request["digest"]) != digest:
                raise Refused(ex.CAT_INVALID_AUTHENTICATION)
            self._user = user
        text = json.dumps(answer).encode()
        return BinBytesBuf(buflen=len(text), buf=text)

    # data objects

    def _data_obj_open_an(self, body: bytes) -> Any:
        request = read(FileOpenRequest, body)
        flags = request.openFlags
        opened = self.zone.open(
            request.objPath, write=bool(flags & 3), create=bool(flags & 64), truncate=bool(flags & 512), options=options(request),
        )  # fmt: skip
        descriptor = 3 + len(self._opened)
        self._opened[descriptor] = opened
        return None, descriptor

    def _bytes(self, api: str, request: Any, data: bytes) -> None:
        opened = self._opened[request.l1descInx]
        if api == "DATA_OBJ_WRITE_AN":
            self.answer(None, self.zone.write(opened, data))
            return
        piece = bytes(opened.replica.data[opened.at : opened.at + request.len])
        opened.at += len(piece)
        self.answer(None, len(piece), piece)

    def _data_obj_lseek_an(self, body: bytes) -> Any:
        request = read(OpenedDataObjRequest, body)
        opened = self._opened[request.l1descInx]
        opened.at = request.offset + (0, opened.at, len(opened.replica.data))[request.whence]
        return FileSeekResponse(offset=opened.at)

    def _data_obj_close_an(self, body: bytes) -> Any:
        self.zone.close(self._opened.pop(read(OpenedDataObjRequest, body).l1descInx))

    def _data_obj_unlink_an(self, body: bytes) -> Any:
        self.zone.unlink(read(FileOpenRequest, body).objPath)

    def _data_obj_rename_an(self, body: bytes) -> Any:
        self.zone.rename(*(end.objPath for end in ends(body)))

    def _data_obj_copy_an(self, body: bytes) -> Any:
        source, target = ends(body)
        self.zone.copy(source.objPath, target.objPath, options(target))

    def _data_obj_chksum_an(self, body: bytes) -> Any:
        request = read(FileOpenRequest, body)
        told = self.zone.chksum(request.objPath, options(request))
        return STR_PI(myStr=told) if told else None

    # the catalogue

    def _coll_create_an(self, body: bytes) -> Any:
        self.zone.make(read(CollectionRequest, body).collName)

    def _rm_coll_an(self, body: bytes) -> Any:
        self.zone.remove(read(CollectionRequest, body).collName)

    def _genquery2_an(self, body: bytes) -> Any:
        text = json.dumps(genquery2(self.zone, read(GenQuery2Request, body).query_string), ensure_ascii=False)
        return STR_PI(myStr=re.sub(r"[\x00-\x1f]", lambda match: f"\\u{ord(match[0]):04x}", text))

    def _gen_query_an(self, body: bytes) -> Any:
        return self._pages.ask(self.zone, read(GenQueryRequest, body))

    def _mod_avu_metadata_an(self, body: bytes) -> Any:
        request = read(MetadataRequest, body)
        self.zone.set_avu(request.arg0, request.arg2, request.arg3, request.arg4, request.arg5 or "")

    def _atomic_apply_metadata_operations_apn(self, body: bytes) -> Any:
        request = json.loads(read(BinBytesBuf, body).buf)
        entry = self.zone.entry(request["entity_name"])
        before = list(entry.avus)
        try:
            for each in request["operations"]:
                self.zone.set_avu(each["operation"], request["entity_name"], each["attribute"], each["value"], each.get("units", ""))  # fmt: skip
        except Refused:
            entry.avus = before
            raise
        return BinBytesBuf(buflen=2, buf=b"{}")
