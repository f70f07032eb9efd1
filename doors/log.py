"""Logs to standard error: JSON lines, or text on a terminal. What other libraries log goes the same way."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from aiohttp.http_exceptions import HttpProcessingError

from lading.model.lfn import shown

if TYPE_CHECKING:
    from structlog.typing import Processor

    from .config import Config


def _json(value: Any, **_: Any) -> str:
    return msgspec.json.encode(value, enc_hook=repr).decode()


def configure(config: Config) -> None:
    """Set up logging for this process."""
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    text = config.log_format == "text" or (config.log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # The plain traceback: the pretty one shows local variables, tokens among them.
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    # It logs a traceback at every try while the database is away: our own lines say so, once a request.
    logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)
    logging.basicConfig(handlers=[_Forward()], level=max(level, logging.INFO), force=True)


class _Forward(logging.Handler):
    """Standard logging into structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        fault = record.exc_info[1] if record.exc_info else None
        if isinstance(fault, HttpProcessingError):  # the caller's bad HTTP, answered with 400: no error of ours
            logger.info("unreadable request", error=shown(fault.message, 200))
            return
        logger.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
