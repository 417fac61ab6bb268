"""Every kind of export, by name; a part that has something to take out adds its own here."""

from __future__ import annotations

from collections.abc import Mapping

from fleet.state.exchange import exports
from fleet.state.exchange.exports import Export

_ALL: tuple[Export, ...] = (*exports.EXPORTS,)

EXPORTS: Mapping[str, Export] = {each.kind: each for each in _ALL}
