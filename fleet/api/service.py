"""`fleet api`: the application under uvicorn, with an end that open streams do not delay."""

from __future__ import annotations

import signal
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from fleet.api.app import create_app
from fleet.api.feed import Feed
from fleet.config import Settings
from fleet.errors import UnavailableError
from fleet.log import get_logger

GRACE_S = 3
KEEP_ALIVE_S = 30
BACKLOG = 2048

_LOG = get_logger("fleet.api")


class Server(uvicorn.Server):
    """Ends the event streams as soon as a signal comes, so that the graceful end does not wait for them."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called on SIGTERM and SIGINT; a second SIGINT does not wait.

        Unlike uvicorn's own this keeps no list of signals to raise again: having ended well is exit code 0.
        """
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.end()

    def end(self) -> None:
        """Stop serving: no new connections, streams end, what runs has a few seconds to finish."""
        self.should_exit = True
        feed: Feed | None = getattr(self._app.state, "feed", None)
        if feed is not None:
            feed.stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, then tells the address."""
        await super().startup(sockets)
        for listener in sockets or []:
            _LOG.info("listening", url=url_of(listener))


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raises UnavailableError when the address cannot be had."""
    settings.dsn()
    listener = listen(settings.http_host, settings.http_port)
    make_server(create_app(settings), settings.http_trusted_proxies).run(sockets=[listener])
    _LOG.info("stopped")


def make_server(app: FastAPI, trusted_proxies: str = "") -> Server:
    """A server for the application that ends within seconds of a signal, open streams or not."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=[each.strip() for each in trusted_proxies.split(",")],
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    return Server(config, app)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise UnavailableError(f"FLEET_HTTP_HOST, FLEET_HTTP_PORT {host}:{port}: {error.strerror or error}") from None
    listener.set_inheritable(True)
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a socket can be reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
