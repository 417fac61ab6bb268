"""`ETag` and `If-Match`: nobody overwrites what somebody else changed meanwhile (RFC 9110, 13.1.1)."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated

from fastapi import Header

from fleet.api.problems import ProblemError, invalid

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="The `ETag` last seen; the change is made only while it still holds.",
    ),
]
_TAG = re.compile(r'(?:W/)?"[^"\x00-\x20]*"')


def etag(revision: int | str) -> str:
    """The tag of a revision."""
    return f'"{revision}"'


def seen_tags(if_match: str | None) -> frozenset[str] | None:
    """The strong tags of the header; None when anything will do (no header or `*`). Raises 422."""
    if if_match is None or if_match.strip() == "*":
        return None
    tags = [part.strip() for part in if_match.split(",")]
    if not all(_TAG.fullmatch(tag) for tag in tags):
        raise invalid("If-Match", 'give a tag in quotes, such as "7", or *', place="header")
    return frozenset(tag[1:-1] for tag in tags if not tag.startswith("W/"))


def stale(current: int | str) -> ProblemError:
    """412 with the tag of now."""
    return ProblemError(
        HTTPStatus.PRECONDITION_FAILED,
        "stale",
        "somebody changed it meanwhile: read it again",
        headers={"ETag": etag(current)},
    )


def seen_revisions(if_match: str | None) -> frozenset[int] | None:
    """The revisions the caller says it has seen; None when it does not say."""
    seen = seen_tags(if_match)
    return None if seen is None else frozenset(int(tag) for tag in seen if tag.isdecimal() and len(tag) < 10)
