"""HTTP third-party copy as the grid does it: COPY, markers while it lasts, and the verdict in the last line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import StorageError, Transient, Unsupported
from .http_errors import hidden, refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

    from .http_session import HttpSession
    from .powers import Progress, Remote

_STRIPE = re.compile(r"\s*Stripe Index:\s*(\d+)")
_BYTES = re.compile(r"\s*Stripe Bytes Transferred:\s*(\d+)")
_CODE = re.compile(r"status code (\d{3})")
_LONGEST = 1 << 16  # of a line


async def third_party_copy(
    http: HttpSession, url: URL, remote: Remote, headers: Mapping[str, str], *, pfn: str, progress: Progress | None
) -> None:
    """Ask the server for a COPY of `url`; `headers` say in which direction. Raises what the server's last line tells:
    its 201 only says that it began."""
    # Credential: the server shall use what is in TransferHeader…, and ask for no delegated proxy.
    sent = {"Credential": "none", **headers, **{f"TransferHeader{name}": text for name, text in remote.headers.items()}}
    moved: dict[str, int] = {}
    stripe, verdict, rest = "0", "", ""
    async with http.request("COPY", url, accept=(200, 201, 202), pfn=pfn, headers=sent, patient=True) as response:
        async for data in response.content.iter_any():
            *lines, rest = (rest + data.decode("utf-8", "replace")).split("\n")
            rest = rest[-_LONGEST:]
            for line in lines:
                verdict = line.strip() or verdict
                if found := _STRIPE.match(line):
                    stripe = found[1]
                elif found := _BYTES.match(line):
                    moved[stripe] = int(found[1])
                    if progress:
                        progress(sum(moved.values()))
    verdict = rest.strip() or verdict
    if not verdict.lower().startswith("success"):
        raise _failed(verdict, pfn)


def http_url(remote: Remote) -> str:
    """As a server takes it. Raises Unsupported for another protocol."""
    scheme, _, rest = remote.url.partition("://")
    known = {"http": "http", "https": "https", "dav": "http", "davs": "https"}
    if scheme not in known:
        raise Unsupported(f"it copies over HTTP, not over {scheme[:20]!r}")
    return f"{known[scheme]}://{rest}"


def _failed(verdict: str, pfn: str) -> StorageError:
    message = f"the third-party copy failed: {hidden(verdict) or 'the server did not say that it succeeded'}"
    found = _CODE.search(verdict)  # of the other side
    kind = type(refused("COPY", int(found[1]), {}, pfn=pfn)) if found else Transient
    return kind(message, pfn=pfn)
