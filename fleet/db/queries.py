"""Named SQL: `.sql` files beside the store that uses them, one `-- name: …` line before each query."""

from __future__ import annotations

import re
from collections.abc import ItemsView
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class Queries:
    """The queries of one file by name; psycopg takes them as bytes."""

    def __init__(self, source: str, text: str) -> None:
        self.source = source
        parts = _NAME.split(text)
        self._queries = {
            name: body.strip().rstrip(";").encode() for name, body in zip(parts[1::2], parts[2::2], strict=True)
        }

    def __getitem__(self, name: str) -> bytes:
        try:
            return self._queries[name]
        except KeyError:
            raise KeyError(f"{self.source} has no query {name!r}") from None

    def items(self) -> ItemsView[str, bytes]:
        """Every query with its name, for the test that prepares them all."""
        return self._queries.items()


@cache
def load_queries(package: str, file: str) -> Queries:
    """Read `file` of `package`, for example `load_queries("fleet.ingest", "store.sql")`."""
    return Queries(f"{package}/{file}", resources.files(package).joinpath(file).read_text(encoding="utf-8"))
