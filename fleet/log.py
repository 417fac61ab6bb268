"""Structured logging: one canonical line per unit of work, UTC, on stderr."""

from __future__ import annotations

import logging
import sys
from typing import cast

import structlog

from fleet.config import LogFormat, Settings


def configure_logging(settings: Settings, *, role: str) -> None:
    """Set up structlog and pass the standard library's records through it."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor
    if settings.log_format is LogFormat.JSON:
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level.value),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.value.upper())
    # Libraries speak only when something is wrong; our own lines tell what was done.
    for name in (
        "psycopg",
        "psycopg.pool",
        "uvicorn",
        "uvicorn.access",
        "asyncio",
        "alembic",
        "httpx",
        "httpcore",
        "mqtt",
        "procrastinate",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(role=role)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for one module."""
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger(name))
