"""`fleet placements erase`: forget the text of a placement reference, as over HTTP."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fleet.cli.database import Connection, with_database
from fleet.errors import InvalidError, NotFoundError, UsageError
from fleet.state import placements
from fleet.state.texts import bad_text

MOST_TYPED = 200


def placements_erase(
    number: Annotated[
        str,
        typer.Argument(metavar="NUMBER", help="Of the reference; - reads its text from standard input."),
    ],
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit, so say nothing of the reference.")],
) -> None:
    """Forget the text of a placement reference for good; refused while a kit is there.

    A text is taken from standard input only, because what stands on a command line is kept by the shell.
    """
    problem = bad_text(reason) if reason.strip() else "say why"
    if problem is not None:
        raise InvalidError("reason", problem)
    typed = sys.stdin.readline(MOST_TYPED).strip() if number == "-" else None
    if typed is None and not (number.isascii() and number.isdecimal()):
        raise UsageError(f"{number!r} is no number of a reference")

    async def work(connection: Connection) -> int:
        chosen = int(number) if typed is None else await _number_of(connection, typed)
        await placements.erase(connection, chosen, reason=reason)
        return chosen

    print(f"reference {with_database(work)} is erased")


async def _number_of(connection: Connection, reference: str) -> int:
    """The only number of a reference; the look-up is noted. What was typed is not repeated."""
    found = await placements.reference_numbers(connection, reference)
    if not found:
        raise NotFoundError("reference", "that was typed")
    if len(found) > 1:
        raise UsageError(f"several organisations use it, choose a number: {', '.join(map(str, sorted(found)))}")
    return found[0]
