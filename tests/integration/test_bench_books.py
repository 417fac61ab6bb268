"""The measurement of the books, with a few thousand kits: everything it asks is answered for everyone who asks."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial

from fleet.bench import books
from fleet.docs.figures import rendered


async def test_every_kind_is_measured_for_every_scope() -> None:
    # Enough for the one municipality of hundreds that asks to have some.
    result = await asyncio.to_thread(partial(books.measure, 4_000, 3, imported=1_000))
    assert (result.kits, result.components, result.imported) == (4_000, 4_000, 1_000)
    assert result.import_s > 0
    assert {kind.split("_")[0] for kind in result.requests} == {
        "search",
        "list",
        "filter",
        "health",
        "kit",
        "step",
        "audit",
    }
    for kind, by_scope in result.requests.items():
        assert by_scope.keys() == books.SCOPES.keys(), kind
        for scope, spread in by_scope.items():
            assert 0 < spread.p50_s <= spread.p95_s, (kind, scope)
    table = rendered({"books": asdict(result)})
    assert table.count("p95") >= 3
    assert "search" in table
    assert "a file of 1,000 components" in table
