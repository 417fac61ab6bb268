"""What requests and answers share: strict bodies, pages with cursors, checked field types."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Path
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from fleet.api.problems import invalid
from fleet.protocol.topics import KIT_ID
from fleet.state.texts import CIVIL_NUMBER, bad_text, looks_like_cpr

PREFIX = "/api/v1"
MAX_LIMIT = 500
MAX_ID = 2**63 - 1
FIRST_YEAR, LAST_YEAR = 1970, 2999

T = TypeVar("T")


class Body(BaseModel):
    """What a caller sends: unknown fields and loose types (a bool for a number) are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Query(BaseModel):
    """Query fields of a list: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Answer(BaseModel):
    """What we send."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)


class PageQuery(Query):
    """Fields that every list has."""

    limit: int = Field(100, ge=1, le=MAX_LIMIT, description="Items in the answer, at most")
    cursor: str | None = Field(None, max_length=1000, description="`next` of the page before")


class Page(Answer, Generic[T]):
    """A list; `next` is the cursor of the next page, null at the end."""

    items: list[T]
    next: str | None = None


def _no_nul(text: str) -> str:
    # PostgreSQL text cannot hold it, so nothing can have such a name.
    if "\x00" in text:
        raise ValueError("holds a NUL character")
    return text


def _storable(text: str) -> str:
    problem = bad_text(text)
    if problem is not None:
        raise ValueError(problem)
    return text


def _no_civil_number(text: str) -> str:
    if looks_like_cpr(text):
        raise ValueError(CIVIL_NUMBER)
    return text


def _text_only(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def _within_reason(moment: datetime) -> datetime:
    # Arithmetic and time zones need some room at both ends of the calendar.
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"the year must be {FIRST_YEAR} to {LAST_YEAR}")
    return moment


Word = Annotated[str, Field(max_length=200), AfterValidator(_no_nul)]
"""A text to look for."""
Line = Annotated[str, AfterValidator(_storable)]
"""A text to store."""
NewSlug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$"), AfterValidator(_no_civil_number)]
"""A short name that somebody chooses."""
KitId = Annotated[str, Field(pattern=f"^{KIT_ID.pattern}$", examples=["K-004711"])]
Number = Annotated[int, Field(ge=1, le=MAX_ID)]
KitPath = Annotated[str, Path(pattern=f"^{KIT_ID.pattern}$", examples=["K-004711"])]
NumberPath = Annotated[int, Path(ge=1, le=MAX_ID)]
Moment = Annotated[AwareDatetime, AfterValidator(_within_reason)]
"""RFC 3339 with an offset."""
GivenMoment = Annotated[Moment, Field(strict=False), BeforeValidator(_text_only)]
"""A moment in a body, where types are strict: text, and no number that would be taken for one."""
GivenDay = Annotated[date, Field(strict=False), BeforeValidator(_text_only)]
"""A day in a body, `2026-11-25`."""


def page(items: Sequence[T], limit: int, *keys: str) -> tuple[list[T], str | None]:
    """Cut what was read with one more than `limit`, and the cursor made of `keys` of the last item kept."""
    if len(items) <= limit:
        return list(items), None
    kept = list(items[:limit])
    last: Any = kept[-1]
    values = [last[key] if isinstance(last, dict) else getattr(last, key) for key in keys]
    return kept, encode_cursor(*values)


def encode_cursor(*values: Any) -> str:
    """An opaque text that brings `values` back."""
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, *types: type[Any]) -> tuple[Any, ...] | None:
    """The values of a cursor, checked to be of `types`; raises 422 naming `cursor`."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(values, list) or len(values) != len(types):
            raise ValueError("another length")
        return tuple(_typed(value, type_) for value, type_ in zip(values, types, strict=True))
    except (ValueError, binascii.Error, RecursionError):
        raise invalid("cursor", "is not one that this list gave", place="query") from None


def _typed(value: Any, type_: type[Any]) -> Any:
    if type_ is datetime and isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("no offset")
        return _within_reason(moment)
    if type(value) is not type_:
        raise ValueError("another type")
    if isinstance(value, str):
        value.encode()  # refuses half of a pair of surrogates
        return _no_nul(value)
    if isinstance(value, int) and not 0 <= value <= MAX_ID:
        raise ValueError("out of range")
    return value


Severity = Literal["critical", "major", "minor", "warning"]
SupportLine = Literal["support", "service", "logistics", "supplier"]
Priority = Literal["urgent", "high", "normal", "low"]
RequestState = Literal["open", "in_progress", "waiting", "resolved", "closed"]
NumberText = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


class Title(Answer):
    """A text in the languages of the console."""

    en: str
    da: str
