"""`users`: people with roles over organisations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access import lockout, passwords, users
from fleet.access.roles import Role
from fleet.access.users import RoleAt
from fleet.api import idempotency
from fleet.api.administration import RoleName
from fleet.api.auth import ReadUsers, WriteUsers
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.login import hashing_of
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.shapes import PREFIX, Answer, Body, Line, Moment, NumberPath, Page, PageQuery, Word, decode_cursor, page

router = APIRouter(prefix=PREFIX)


class RoleOver(Answer):
    """A role over an organisation with all below it; without one it is over the whole installation."""

    role: RoleName
    organisation: str | None


class User(Answer):
    """A user, never a secret. `roles` are those over organisations that the caller sees."""

    id: int
    username: str
    organisation: str | None
    roles: list[RoleOver]
    single_sign_on: bool
    second_factor: bool
    must_change_password: bool
    disabled: bool
    last_login_at: Moment | None
    created_at: Moment
    created_by: str | None
    revision: int


class NewUser(User):
    """A user whose password was just made; `password` is shown this once (null when the request is repeated)."""

    password: str | None


class UserQuery(PageQuery):
    """Filters of users."""

    username: Word | None = None
    organisation: Slug | None = None
    role: RoleName | None = None
    disabled: bool | None = None


class GivenRole(Body):
    """A role to give, which the caller must hold there."""

    role: RoleName
    organisation: Slug | None = None


Roles = Annotated[list[GivenRole], Field(max_length=users.MAX_ROLES)]


class UserBody(Body):
    """A user to make: a name of the organisation's choice, not a person's; `organisation` is where it belongs."""

    username: Annotated[Line, Field(pattern=f"^{users.USERNAME.pattern}$", examples=["support-07"])]
    organisation: Slug | None = None
    roles: Roles = Field(default_factory=list)


class UserEdit(Body):
    """What administrators edit; a field that is not sent stays. `roles` replaces those the caller sees."""

    organisation: Slug | None = None
    roles: Roles = Field(default_factory=list)
    disabled: bool = False


@router.get("/users", tags=["users"], responses=documented())
async def list_users(call: ReadUsers, query: Annotated[UserQuery, Query()]) -> Page[User]:
    """Users by id, the disabled ones too."""
    after = decode_cursor(query.cursor, int) or (0,)
    filters = query.model_dump(exclude={"cursor", "limit"})
    found = await users.users(call.connection, after=after[0], limit=query.limit + 1, **filters)
    kept, cursor = page(found, query.limit, "user_id")
    return Page(items=[User(**_user(each)) for each in kept], next=cursor)


@router.post("/users", status_code=201, tags=["users"], responses=documented(409), response_model=NewUser)
async def add_user(call: WriteUsers, request: Request, body: UserBody, key: idempotency.Key = None) -> Response:
    """Make a user with a one-time password, which is answered this once and changed at the first login."""

    async def work() -> NewUser:
        new = users.NewUser(body.username, body.organisation, _roles(body.roles))
        password, password_hash = await _one_time(request)
        made = await users.add(call.connection, new, password_hash, by=call.principal)
        return NewUser(**_user(made), password=password)

    return await idempotency.once(request, call, key, work, status=201, once_only="password")


@router.get("/users/{id}", tags=["users"], responses=documented(404))
async def get_user(call: ReadUsers, id: NumberPath, response: Response) -> User:
    """One user; the `ETag` is for `If-Match`."""
    return _tagged(await users.find(call.connection, id), response)


@router.patch("/users/{id}", tags=["users"], responses=documented(404, 409, 412))
async def edit_user(
    call: WriteUsers, id: NumberPath, edit: UserEdit, response: Response, if_match: IfMatch = None
) -> User:
    """Move, disable or enable a user, or set the roles; disabling ends every session at once."""
    changes: dict[str, Any] = edit.model_dump(include=edit.model_fields_set)
    if "roles" in changes:
        changes["roles"] = _roles(edit.roles)
    outcome = await users.edit(call.connection, id, changes, by=call.principal, revisions=seen_revisions(if_match))
    if isinstance(outcome, int):
        raise stale(outcome)
    return _tagged(outcome, response)


@router.post("/users/{id}/reset-password", tags=["users"], responses=documented(404, 409), response_model=NewUser)
async def reset_password(call: WriteUsers, request: Request, id: NumberPath, key: idempotency.Key = None) -> Response:
    """Replace the password by a one-time one, end every session and forget failed logins."""

    async def work() -> NewUser:
        password, password_hash = await _one_time(request)
        found = await users.reset_password(call.connection, id, password_hash, by=call.principal)
        await lockout.forget(call.connection, lockout.account_key(found.username))
        return NewUser(**_user(found), password=password)

    return await idempotency.once(request, call, key, work, once_only="password")


@router.post("/users/{id}/reset-totp", tags=["users"], responses=documented(404), response_model=User)
async def reset_totp(call: WriteUsers, request: Request, id: NumberPath, key: idempotency.Key = None) -> Response:
    """Forget the second factor of somebody whose app is gone, and end every session."""

    async def work() -> User:
        return User(**_user(await users.reset_second_factor(call.connection, id, by=call.principal)))

    return await idempotency.once(request, call, key, work)


async def _one_time(request: Request) -> tuple[str, str]:
    password = passwords.one_time()
    return password, await hashing_of(request).hash(password)


def _roles(given: Sequence[GivenRole]) -> tuple[RoleAt, ...]:
    return tuple(RoleAt(Role(each.role), each.organisation) for each in given)


def _tagged(found: users.User, response: Response) -> User:
    response.headers["ETag"] = etag(found.revision)
    return User(**_user(found))


def _user(found: users.User) -> dict[str, Any]:
    values = asdict(found)
    return {"id": values.pop("user_id"), **values}
