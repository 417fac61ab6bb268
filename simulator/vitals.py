"""The tablet's body: battery, signal, network, storage; values walk with time and chance."""

from __future__ import annotations

from random import Random

from fleet.protocol.messages import Network

DRAIN_PER_H = 6.0
CHARGE_PER_H = 40.0
PLUG_IN_BELOW = 18.0
NETWORKS = (Network.G4, Network.G4, Network.G4, Network.G5, Network.WIFI, Network.G3)


class Vitals:
    """Levels at the time last asked for; `losses` of network at work make its kind `none`."""

    __slots__ = (
        "_at_s",
        "_last_moved_s",
        "_rng",
        "battery",
        "charging",
        "losses",
        "network",
        "operator",
        "signal_dbm",
        "storage_free_mb",
    )

    def __init__(self, rng: Random, operators: tuple[str, ...], at_s: float) -> None:
        self._rng = rng
        self._at_s = self._last_moved_s = at_s
        self.battery = rng.uniform(25.0, 100.0)
        self.charging = rng.random() < 0.3
        self.signal_dbm = rng.randint(-105, -65)
        self.network = rng.choice(NETWORKS)
        self.operator = rng.choice(operators) if operators else None
        self.storage_free_mb = float(rng.randint(2_000, 24_000))
        self.losses = 0

    def advance(self, at_s: float, *, powered: bool = True) -> None:
        """Let the time up to `at_s` pass."""
        hours = max(0.0, at_s - self._at_s) / 3600
        self._at_s = at_s
        self._charge(hours, powered=powered)
        step = self._rng.randint(-3, 3)
        self.signal_dbm = max(-113, min(-51, self.signal_dbm + step))
        if at_s - self._last_moved_s > self._rng.uniform(1800, 86_400):
            self._last_moved_s = at_s
            self.network = self._rng.choice(NETWORKS)
        self.storage_free_mb = max(100.0, self.storage_free_mb - round(hours * self._rng.uniform(0, 3), 1))

    def _charge(self, hours: float, *, powered: bool) -> None:
        drain = DRAIN_PER_H if powered else 0.0
        level = self.battery + hours * (CHARGE_PER_H if self.charging else -drain)
        self.battery = max(1.0, min(100.0, level))
        if self.battery >= 100.0:
            self.charging = False
        elif self.battery < PLUG_IN_BELOW:
            self.charging = True

    def network_now(self) -> Network:
        """`none` while there is no network."""
        return Network.NONE if self.losses else self.network
