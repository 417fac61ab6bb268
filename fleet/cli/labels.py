"""`fleet labels`: sheets of labels with QR codes, as HTML or PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet.api import labelling
from fleet.api.labelling import SHEETS, SheetName
from fleet.cli.database import Connection, with_database
from fleet.errors import UsageError
from fleet.state import labels as books
from fleet.state.labels import Label


def labels(
    out: Annotated[Path, typer.Argument(metavar="OUT.html|OUT.pdf", help="The file to write.")],
    kits: Annotated[str | None, typer.Option(help="Ids of kits, separated by commas.", show_default=False)] = None,
    components: Annotated[
        str | None, typer.Option(help="Numbers of components, separated by commas.", show_default=False)
    ] = None,
    location: Annotated[
        str | None, typer.Option(help="Short name of a location: what is there.", show_default=False)
    ] = None,
    sheet: Annotated[SheetName, typer.Option(help="What is printed on.")] = SheetName.A4_3X8,
) -> None:
    """Write sheets of labels for kits or components, at most 500, to be printed in true size."""
    if out.suffix not in (".html", ".pdf"):
        raise UsageError(f"{out}: the name must end in .html or .pdf")

    async def read(connection: Connection) -> list[Label]:
        match (kits, components, location):
            case (str(), None, None):
                return await books.kit_labels(connection, kits.split(","))
            case (None, str(), None):
                return await books.component_labels(connection, _numbers(components))
            case (None, None, str()):
                return await books.location_labels(connection, location)
        raise UsageError("give exactly one of --kits, --components and --location")

    made = labelling.pages(with_database(read), SHEETS[sheet])
    geometry = SHEETS[sheet]
    content = labelling.pdf(made, geometry) if out.suffix == ".pdf" else labelling.html(made, geometry).encode()
    try:
        out.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}") from None
    print(f"{sum(1 for page in made for _ in page.codes)} labels on {len(made)} pages")


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in parts):
        raise UsageError("--components takes numbers, separated by commas")
    return [int(part) for part in parts]
