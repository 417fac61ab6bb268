"""Runs rumqttd in this process: `python -m fleet.embedded.rumqttd CONFIG.toml`; ends on SIGTERM."""

from __future__ import annotations

import logging
import signal
import sys

from iotcore.iotcore import IotCoreBroker


def main(config: str) -> None:
    """Serve the listeners of `config` until killed."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # It wraps every packet in an error span, which would show as an error per message.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    # Native code does not return to Python, whose own handler would never run.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    IotCoreBroker(config_path=config).run_forever()


if __name__ == "__main__":
    main(sys.argv[1])
