"""Sessions on a server: made when they are needed, kept a while for the next who needs one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .errors import Unavailable
from .gridftp_control import Control

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .gridftp import GridftpOptions

_IDLE = 30.0  # seconds after which one that nobody uses is closed


class Sessions:
    """Each user has one of his own for as long as he needs it; how many are in use at once is the caller's affair."""

    def __init__(self, options: GridftpOptions) -> None:
        self._options = options
        self._idle: dict[Control, asyncio.TimerHandle] = {}
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def control(self) -> AsyncGenerator[Control, None]:
        """Raises Unavailable when the server is away, Denied when it or we are not who we should be, InvalidOptions."""
        if self._closed:
            raise Unavailable("the element is closed")
        control = self._kept() or await Control.open(self._options)
        try:
            yield control
        finally:
            if control.busy:  # what was under way is broken off, and nobody waits for that
                task = asyncio.create_task(self._recover(control))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._keep(control)

    async def settled(self) -> None:
        """Returns when what was broken off until now has ended on the server, or was given up."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def aclose(self) -> None:
        self._closed = True
        while self._idle:
            self._drop(next(iter(self._idle)))
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _kept(self) -> Control | None:
        while self._idle:
            control, timer = self._idle.popitem()
            timer.cancel()
            if control.usable:
                return control
            control.close()
        return None

    def _keep(self, control: Control) -> None:
        if self._closed or not control.usable or len(self._idle) >= self._options.connections:
            control.close()
        else:
            self._idle[control] = asyncio.get_running_loop().call_later(_IDLE, self._drop, control)

    def _drop(self, control: Control) -> None:
        if timer := self._idle.pop(control, None):
            timer.cancel()
        control.close()

    async def _recover(self, control: Control) -> None:
        try:
            await control.abort()
        finally:
            self._keep(control)
