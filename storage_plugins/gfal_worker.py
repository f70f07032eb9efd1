"""What runs in the Python that has gfal2: one request after the other. Imports nothing of lading, is never imported.

Requests come on stdin and are answered on stdout, each in a frame: two lengths of four bytes (big-endian), so much
JSON, so many bytes. An answer is {"ok": value} or {"error": errno, "message": text}; before that of a copy come frames
{"moved": bytes}, a sign of life. The end of stdin is the end of the process.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import sys
from typing import Any, BinaryIO

LENGTHS = struct.Struct(">II")
ENTRIES = 2000  # of a folder, in an answer
LONGEST = 86400  # seconds that gfal2 lets a copy go on; whoever waits for it gives up before
UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.EPROTONOSUPPORT)


class Session:
    """A gfal2 context, and the file or folder that is open in it."""

    def __init__(self, gfal2: Any, out: BinaryIO) -> None:
        self._gfal2 = gfal2
        self._out = out
        self._context = gfal2.creat_context()
        self._context.set_opt_boolean("GRIDFTP PLUGIN", "SESSION_REUSE", True)  # a login takes 40 ms and more
        self._open: Any = None

    def answer(self, value: dict[str, Any], body: bytes = b"") -> None:
        text = json.dumps(value).encode()
        self._out.write(LENGTHS.pack(len(text), len(body)) + text)
        self._out.write(body)
        self._out.flush()

    def do(self, request: list[Any], body: bytes) -> None:
        """Answers once. Errors are answers too, except that the other side is gone."""
        name, *arguments = request
        try:
            value = getattr(self, f"do_{name}")(*arguments, *([body] if body else []))
            data = value if isinstance(value, bytes) else b""
            self.answer({"ok": len(data) if data else value}, data)
        except self._gfal2.GError as error:
            self.answer({"error": error.code, "message": error.message})
        except UnicodeError as error:
            self.answer({"error": errno.EILSEQ, "message": str(error)})
        except BrokenPipeError:
            raise
        except Exception as error:
            self.answer({"error": errno.EIO, "message": repr(error)})

    def do_stat(self, url: str) -> list[int]:
        return _told(self._context.stat(url))

    def do_open(self, url: str, how: str) -> None:
        self._open = self._context.open(url, how)

    def do_seek(self, offset: int) -> Any:
        return self._open.lseek(offset, os.SEEK_SET)

    def do_read(self, size: int) -> bytes:
        data: bytes = self._open.read_bytes(size)
        return data

    def do_write(self, data: bytes) -> int:
        done = 0
        while done < len(data):
            count = self._open.write(data[done:] if done else data)
            if count <= 0:
                raise OSError(errno.EIO, "nothing was taken")
            done += count
        return done

    def do_close(self) -> None:
        self._open = None  # its destructor closes

    def do_list(self, url: str) -> dict[str, Any]:
        self._open = self._context.opendir(url)
        return self.do_more()

    def do_more(self) -> dict[str, Any]:
        """Up to ENTRIES of [name, [size, seconds, mode]]; fewer at the end."""
        found: list[list[Any]] = []
        while len(found) < ENTRIES:
            entry, stat = self._open.readpp()
            if entry is None:
                self._open = None
                break
            if entry.d_name not in (".", ".."):
                found.append([entry.d_name, _told(stat)])
        return {"entries": found, "more": self._open is not None}

    def do_mkdir(self, url: str) -> Any:
        return self._context.mkdir_rec(url, 0o755)

    def do_rename(self, source: str, target: str) -> Any:
        return self._context.rename(source, target)

    def do_unlink(self, url: str) -> Any:
        return self._context.unlink(url)

    def do_rmdir(self, url: str) -> Any:
        return self._context.rmdir(url)

    def do_checksum(self, url: str, kind: str) -> Any:
        """None when the storage has no such thing."""
        try:
            return self._context.checksum(url, kind)
        except self._gfal2.GError as error:
            if error.code not in UNSUPPORTED:
                raise
            return None

    def do_copy(self, source: str, target: str, streams: int) -> Any:
        # A context of its own: gfal2 wrote blocks out of order in one that had copied before.
        context = self._gfal2.creat_context()
        parameters = context.transfer_parameters()
        parameters.timeout = LONGEST
        parameters.nbstreams = streams
        parameters.overwrite = False
        parameters.create_parent = False
        # Called with source, target, average and present rate, bytes, seconds.
        parameters.monitor_callback = lambda *told: self.answer({"moved": told[4]})
        return context.filecopy(parameters, source, target)

    def do_where(self, urls: list[str]) -> list[str | None]:
        """The status of each as SRM names it, "" where the storage has none, None where there is no such file."""
        found: list[str | None] = []
        for url in urls:
            try:
                found.append(self._context.getxattr(url, "user.status").strip())
            except self._gfal2.GError as error:
                if error.code not in (errno.ENOENT, errno.ENODATA, *UNSUPPORTED):
                    raise
                found.append(None if error.code == errno.ENOENT else "")
        return found

    def do_stage(self, urls: list[str], seconds: int, timeout: int) -> Any:
        errors, token = self._context.bring_online(urls, seconds, timeout, True)
        for error in errors:
            if error is not None and error.code not in (errno.ENOENT, errno.EAGAIN):
                raise error
        return token

    def do_release(self, urls: list[str], token: str) -> None:
        for error in self._context.release(urls, token):
            if error is not None and error.code not in (errno.ENOENT, errno.EINVAL):
                raise error


def _told(stat: Any) -> list[int]:
    return [stat.st_size, stat.st_mtime, stat.st_mode]


def main() -> None:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no frame
    try:
        import gfal2
    except ImportError as error:
        text = json.dumps({"error": 0, "message": str(error)}).encode()
        out.write(LENGTHS.pack(len(text), 0) + text)
        out.flush()
        return
    session = Session(gfal2, out)
    session.answer({"ok": gfal2.get_version()})
    while head := sys.stdin.buffer.read(LENGTHS.size):
        text, body = LENGTHS.unpack(head)
        request = json.loads(sys.stdin.buffer.read(text))
        session.do(request, sys.stdin.buffer.read(body))


main()
