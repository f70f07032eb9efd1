"""A Girder server for the tests, with what a test may do behind the element's back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.servers import Running, free_port, running

PYTHON = Path(__file__).parents[2] / ".servers" / "girder" / "bin" / "python"


class Girder:
    def __init__(self, server: Running, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.url = f"http://127.0.0.1:{server.port}/api/v1"
        self.keys: dict[str, str] = json.loads((folder / "keys.json").read_text())
        self._tokens: dict[str, str] = {}

    def options(self, root: str, key: str = "alice") -> dict[str, Any]:
        return {"url": self.url, "api_key": self.keys[key], "root": root}

    def token(self, key: str = "alice") -> str:
        if key not in self._tokens:
            answer = self.call("POST", "api_key/token", None, key=self.keys[key])
            self._tokens[key] = answer["authToken"]["token"]
        return self._tokens[key]

    def call(self, method: str, route: str, who: str | None = "alice", body: bytes = b"", **query: str | int) -> Any:
        headers = {"Content-Type": "application/octet-stream", **({"Girder-Token": self.token(who)} if who else {})}
        data = None if method == "GET" else body
        request = Request(f"{self.url}/{route}?{urlencode(query)}", data, headers, method=method)
        with urlopen(request) as response:
            return json.load(response)

    def find(self, path: str) -> Any:
        return self.call("GET", "resource/lookup", "admin", path=path)

    def log(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def uploads(self) -> list[Any]:
        """Those that nobody has finished."""
        return list(self.call("GET", "system/uploads", "admin"))

    def pieces(self) -> list[Path]:
        """What the server has of them on its disk."""
        return list((self.folder / "store" / "temp").iterdir())


@contextlib.contextmanager
def girder(folder: Path, *plugins: str, reserved: int = 1) -> Iterator[Girder]:
    """`reserved`: MiB of the disk that are to stay free; Girder's own choice is 10 GiB."""
    program = str(Path(__file__).with_name("girder_program.py"))
    port = free_port()
    env = {"GIRDER_SERVER_MODE": "production", "GIRDER_FILESYSTEMASSETSTORE_RESERVED_MBYTES": str(reserved)}
    with running([str(PYTHON), program, str(port), str(folder), *plugins], port, folder, env) as server:
        yield Girder(server, folder)
