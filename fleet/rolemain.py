"""How a role without an HTTP face runs: metrics up, work until SIGTERM or SIGINT, one line at each end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from fleet import metrics
from fleet.config import Settings
from fleet.log import get_logger

log = get_logger(__name__)


async def serve_until_signal(role: str, settings: Settings, work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Show metrics and await `work`, whose event is set by the first SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_, stop.set)
    port = metrics.serve_metrics(settings.metrics_port, settings.metrics_host)
    log.info(f"{role} up", metrics_port=port, pid=os.getpid())
    await work(stop)
    log.info(f"{role} stopped")
