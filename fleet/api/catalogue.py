"""`models` and `kit-types`: what can be bought, and what a kit of a programme contains."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.problems import documented
from fleet.api.shapes import PREFIX, Answer, Body, Line, Moment, NumberPath, Page, PageQuery, Word, decode_cursor, page
from fleet.errors import ForbiddenError
from fleet.state.registry import kittypes, models
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX)

ReadCatalogue = Annotated[Call, requires(Permission.CATALOGUE_READ)]
WriteCatalogue = Annotated[Call, requires(Permission.CATALOGUE_WRITE)]

Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", examples=["tablet", "sim", "scale", "oximeter"])]
Days = Annotated[int, Field(ge=1, le=36500)]
Amount = Annotated[Decimal, Field(ge=0, le=Decimal("9999999999.99"), decimal_places=2, strict=False)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Name = Annotated[Line, Field(min_length=1, max_length=200)]
TypeName = Annotated[Line, Field(min_length=1, max_length=100)]
TypePath = Annotated[str, Path(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
Quantity = Annotated[int, Field(ge=1, le=100)]


class Model(Answer):
    """A model of tablet, SIM or peripheral; amounts are text with two decimals."""

    id: int
    kind: str
    manufacturer: str
    name: str
    calibration_interval_days: int | None
    firmware_source: str | None
    expected_firmware: str | None
    price: Decimal | None
    currency: str
    photo_url: str | None
    active: bool
    revision: int
    created_at: Moment


class ModelFields(Body):
    """What describes a model."""

    calibration_interval_days: Days | None = None
    firmware_source: Line | None = None
    expected_firmware: Line | None = None
    price: Amount | None = None
    currency: Currency = "DKK"
    photo_url: Annotated[Line, Field(pattern=r"^https?://")] | None = None


class NewModel(ModelFields):
    """A model to enter."""

    kind: Kind
    manufacturer: Name
    name: Name


class ModelEdit(ModelFields):
    """What people edit; a field that is not sent stays, null empties it where it may be empty."""

    manufacturer: Name = ""
    name: Name = ""
    active: bool = True


class ModelQuery(PageQuery):
    """Filters of models."""

    kind: Kind | None = None
    manufacturer: Word | None = None
    name: Word | None = None
    active: bool | None = None


class KitType(Answer):
    """A kit type; `contents` maps kind to quantity, empty means that there is no list to be complete by."""

    kit_type: str
    name_en: str
    name_da: str
    programme: str | None
    calibration_margin_days: int
    contents: dict[str, int]
    active: bool
    revision: int
    created_at: Moment


class KitTypeFields(Body):
    """What describes a kit type."""

    name_en: Line = ""
    name_da: Line = ""
    programme: Line | None = None
    calibration_margin_days: Annotated[int, Field(ge=0, le=3650)] = 0
    contents: Annotated[dict[Kind, Quantity], Field(max_length=30)] = Field(default_factory=dict)


class NewKitType(KitTypeFields):
    """A kit type to enter."""

    kit_type: TypeName


class KitTypeEdit(KitTypeFields):
    """What people edit; a field that is not sent stays."""

    active: bool = True


class KitTypeQuery(PageQuery):
    """Filters of kit types."""

    programme: Word | None = None
    active: bool | None = None


@router.get("/models", tags=["models"], responses=documented())
async def list_models(call: ReadCatalogue, query: Annotated[ModelQuery, Query()]) -> Page[Model]:
    """Models by number."""
    after = decode_cursor(query.cursor, int) or (0,)
    chosen = query.model_dump(include={"kind", "manufacturer", "name", "active"})
    found = await models.list_models(call.connection, after=after[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "model_id")
    return Page(items=[_model(each) for each in kept], next=cursor)


@router.post("/models", status_code=201, tags=["models"], responses=documented(409), response_model=Model)
async def add_model(call: WriteCatalogue, request: Request, body: NewModel, key: idempotency.Key = None) -> Response:
    """Enter a model."""

    async def work() -> Model:
        return _model(await models.add_model(call.connection, models.NewModel(**body.model_dump())))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/models/{id}", tags=["models"], responses=documented(404))
async def get_model(call: ReadCatalogue, id: NumberPath, response: Response) -> Model:
    """One model; its `ETag` is for `If-Match`."""
    found = await models.find_model(call.connection, id)
    response.headers["ETag"] = etag(found.revision)
    return _model(found)


@router.patch("/models/{id}", tags=["models"], responses=documented(404, 409, 412))
async def edit_model(
    call: WriteCatalogue, id: NumberPath, edit: ModelEdit, response: Response, if_match: IfMatch = None
) -> Model:
    """Edit a model, for who is bound to no organisation; its kind stays."""
    _check_whole(call)
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await models.edit_model(call.connection, id, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return _model(outcome)


@router.get("/kit-types", tags=["kit-types"], responses=documented())
async def list_kit_types(call: ReadCatalogue, query: Annotated[KitTypeQuery, Query()]) -> Page[KitType]:
    """Kit types by name."""
    after = decode_cursor(query.cursor, str) or ("",)
    chosen = query.model_dump(include={"programme", "active"})
    found = await kittypes.list_kit_types(call.connection, after=after[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "kit_type")
    return Page(items=[KitType.model_validate(each) for each in kept], next=cursor)


@router.post("/kit-types", status_code=201, tags=["kit-types"], responses=documented(409), response_model=KitType)
async def add_kit_type(
    call: WriteCatalogue, request: Request, body: NewKitType, key: idempotency.Key = None
) -> Response:
    """Enter a kit type."""

    async def work() -> KitType:
        new = kittypes.NewKitType(**body.model_dump())
        return KitType.model_validate(await kittypes.add_kit_type(call.connection, new))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/kit-types/{kit_type}", tags=["kit-types"], responses=documented(404))
async def get_kit_type(call: ReadCatalogue, kit_type: TypePath, response: Response) -> KitType:
    """One kit type; its `ETag` is for `If-Match`."""
    found = await kittypes.find_kit_type(call.connection, kit_type)
    response.headers["ETag"] = etag(found.revision)
    return KitType.model_validate(found)


@router.patch("/kit-types/{kit_type}", tags=["kit-types"], responses=documented(404, 412))
async def edit_kit_type(
    call: WriteCatalogue, kit_type: TypePath, edit: KitTypeEdit, response: Response, if_match: IfMatch = None
) -> KitType:
    """Edit a kit type, for who is bound to no organisation; kits that are ready or out stay as they are."""
    _check_whole(call)
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await kittypes.edit_kit_type(call.connection, kit_type, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return KitType.model_validate(outcome)


def _check_whole(call: Call) -> None:
    """The catalogue is shared: guards and findings of all go by it, so one of them alone does not change it."""
    if call.principal.scope(Permission.CATALOGUE_WRITE).organisations is not None:
        raise ForbiddenError("it is shared by all organisations: only who is bound to none of them may change it")


def _model(found: models.Model) -> Model:
    values: dict[str, Any] = {name: getattr(found, name) for name in Model.model_fields if name != "id"}
    return Model(id=found.model_id, **values)
