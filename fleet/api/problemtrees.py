"""`problem-trees`: the first line's guided questions, maintained as YAML, walked with what telemetry knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.trees import store
from fleet.alerts.trees.facts import Fact, facts_of
from fleet.alerts.trees.tree import MAX_VERSION, Advice, Question, Text, Tree, parse
from fleet.alerts.trees.tree import Prefilled as RequestNode
from fleet.alerts.trees.walk import By, Step, Walk, walk
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.problems import documented
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    KitId,
    Moment,
    Page,
    PageQuery,
    Priority,
    SupportLine,
    Title,
    Word,
    decode_cursor,
    page,
)
from fleet.state import reading
from fleet.state.verdict import Health, ReasonCode

router = APIRouter(prefix=PREFIX, tags=["problem trees"])

ReadCalls = Annotated[Call, requires(Permission.CALLS_READ)]
WriteCalls = Annotated[Call, requires(Permission.CALLS_WRITE)]
WriteRules = Annotated[Call, requires(Permission.RULES_WRITE)]

TreePath = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", examples=["kit-is-silent"])]
AnswerWord = Annotated[str, Field(min_length=1, max_length=64)]
Given = Annotated[dict[AnswerWord, AnswerWord], Field(max_length=200)]
Version = Annotated[int, Field(ge=1, le=MAX_VERSION)]


class TreeSummary(Answer):
    """A tree in its newest version; `source` is `shipped`, or who entered it."""

    tree: str
    version: int
    title: Title
    causes: list[str]
    source: str
    created_at: Moment | None


class TreeVersion(Answer):
    """One version of a tree as YAML."""

    tree: str
    version: int
    body: str
    retired: bool
    source: str
    created_at: Moment | None


class NewVersion(Body):
    """A version to enter, as YAML; its `version` must be higher than what there is."""

    body: Annotated[str, Field(min_length=1, max_length=65_536)]


class TreeQuery(PageQuery):
    """Which trees: those that are about a cause."""

    cause: Word | None = None


class WalkRequest(Body):
    """Whom the call is about, and what the caller has answered so far: node → answer."""

    kit: KitId | None = None
    version: Version | None = None
    answers: Given = Field(default_factory=dict)


class WalkStep(Answer):
    """One question that is answered: by the caller, or by telemetry through a fact."""

    node: str
    question: Title
    answer: str
    answer_text: Title
    by: By
    fact: Fact | None


class Choice(Answer):
    """An answer that may be given."""

    answer: str
    text: Title


class Prefilled(Answer):
    """A service request with all that is known, ready to be sent to `POST /service-requests`."""

    kit: str | None
    cause: str
    line: SupportLine
    priority: Priority
    description: Title


class Evidence(Answer):
    """What telemetry knew during the walk."""

    health: Health | None
    reasons: list[ReasonCode]
    last_heard_at: Moment | None
    facts: dict[Fact, bool | None]


class Walked(Answer):
    """How far the walk has come: a `question`, or an end with `advice` or a `request`."""

    tree: str
    version: int
    title: Title
    path: list[WalkStep]
    node: str
    kind: Literal["question", "advice", "request"]
    text: Title
    choices: list[Choice]
    request: Prefilled | None
    evidence: Evidence


@router.get("/problem-trees", responses=documented())
async def list_trees(call: ReadCalls, query: Annotated[TreeQuery, Query()]) -> Page[TreeSummary]:
    """Trees that are offered, by name."""
    after = decode_cursor(query.cursor, str) or ("",)
    trees = [_summary(kept) for kept in await store.list_trees(call.connection) if kept.tree > after[0]]
    chosen = [tree for tree in trees if query.cause is None or query.cause in tree.causes]
    kept, cursor = page(chosen[: query.limit + 1], query.limit, "tree")
    return Page(items=kept, next=cursor)


@router.get("/problem-trees/{tree}", responses=documented(404))
async def get_tree(call: ReadCalls, tree: TreePath) -> TreeVersion:
    """The version of a tree that counts."""
    return _version(await store.find_tree(call.connection, tree))


@router.get("/problem-trees/{tree}/versions", responses=documented(404))
async def list_versions(call: ReadCalls, tree: TreePath, query: Annotated[PageQuery, Query()]) -> Page[TreeVersion]:
    """Every version of a tree, the newest first."""
    before = decode_cursor(query.cursor, int) or (MAX_VERSION + 1,)
    found = [each for each in await store.versions(call.connection, tree) if each.version < before[0]]
    kept, cursor = page(found[: query.limit + 1], query.limit, "version")
    return Page(items=[_version(each) for each in kept], next=cursor)


@router.post(
    "/problem-trees/{tree}/versions", status_code=201, responses=documented(404, 409, 413), response_model=TreeVersion
)
async def enter_version(
    call: WriteRules, request: Request, tree: TreePath, body: NewVersion, key: idempotency.Key = None
) -> Response:
    """Enter a new version; 422 names the node that is wrong."""

    async def work() -> TreeVersion:
        await store.enter_version(call.connection, tree, body.body, by=call.principal)
        return _version(await store.find_tree(call.connection, tree))

    return await idempotency.once(request, call, key, work, status=201)


@router.post("/problem-trees/{tree}/retire", responses=documented(404), response_model=TreeVersion)
async def retire_tree(call: WriteRules, request: Request, tree: TreePath, key: idempotency.Key = None) -> Response:
    """Offer a tree no more; its versions stay."""

    async def work() -> TreeVersion:
        await store.retire(call.connection, tree, by=call.principal)
        newest, *_ = await store.versions(call.connection, tree)
        return _version(newest)

    return await idempotency.once(request, call, key, work)


@router.post("/problem-trees/{tree}/walk", responses=documented(404), response_model=Walked)
async def walk_tree(call: WriteCalls, tree: TreePath, body: WalkRequest) -> Walked:
    """Go as far as telemetry and the answers lead; nothing is stored."""
    return await walked(call, tree, kit=body.kit, answers=body.answers, version=body.version)


async def walked(
    call: Call, name: str, *, kit: str | None, answers: Mapping[str, str], version: int | None = None
) -> Walked:
    """The walk as it is answered, with its evidence."""
    tree = parse((await store.find_tree(call.connection, name, version)).body)
    return await walked_in(call, tree, kit=kit, answers=answers)


async def walked_in(call: Call, tree: Tree, *, kit: str | None, answers: Mapping[str, str]) -> Walked:
    """The walk through a tree, which need not be kept."""
    facts, evidence = await _known(call, kit)
    way = walk(tree, facts, answers)
    question = way.at if isinstance(way.at, Question) else None
    return Walked(
        tree=tree.tree,
        version=tree.version,
        title=_title(tree.title),
        path=[_step(step) for step in way.path],
        node=way.node,
        kind="question" if question else "advice" if isinstance(way.at, Advice) else "request",
        text=_title(way.at.text),
        choices=[] if question is None else [Choice(answer=a.answer, text=_title(a.text)) for a in question.answers],
        request=_prefilled(way, kit),
        evidence=evidence,
    )


@dataclass(frozen=True, slots=True)
class Way:
    """A way as it is recorded with a call; `request` is what it ended with, if it did."""

    tree: str | None = None
    version: int | None = None
    path: Sequence[Step] = ()
    request: RequestNode | None = None


async def walk_of(
    call: Call, name: str, *, kit: str | None, answers: Mapping[str, str], version: int | None = None
) -> Way:
    """The way through the tree that these answers and what telemetry knows make."""
    found = parse((await store.find_tree(call.connection, name, version)).body)
    facts, _ = await _known(call, kit)
    way = walk(found, facts, answers)
    ended = way.at if isinstance(way.at, RequestNode) else None
    return Way(found.tree, found.version, way.path, ended)


async def _known(call: Call, kit: str | None) -> tuple[dict[Fact, bool | None], Evidence]:
    if kit is None:
        return {}, Evidence(health=None, reasons=[], last_heard_at=None, facts={})
    found = await reading.get_kit(call.connection, kit)
    facts = facts_of(found, await store.around(call.connection, kit), datetime.now(UTC))
    verdict = found.verdict()
    reasons = [reason.code for reason in verdict.reasons]
    return facts, Evidence(health=verdict.health, reasons=reasons, last_heard_at=found.last_heard_at, facts=facts)


def _prefilled(way: Walk, kit: str | None) -> Prefilled | None:
    if isinstance(way.at, Question | Advice):
        return None
    values: dict[str, Any] = {"cause": way.at.cause, "line": way.at.line.value, "priority": way.at.priority.value}
    return Prefilled(kit=kit, description=_title(way.at.text), **values)


def _summary(kept: store.Kept) -> TreeSummary:
    tree = parse(kept.body)
    return TreeSummary(
        tree=tree.tree,
        version=tree.version,
        title=_title(tree.title),
        causes=list(tree.causes),
        source=kept.source,
        created_at=kept.created_at,
    )


def _version(kept: store.Kept) -> TreeVersion:
    return TreeVersion(**{name: getattr(kept, name) for name in TreeVersion.model_fields})


def _step(step: Step) -> WalkStep:
    return WalkStep(
        node=step.node,
        question=_title(step.question),
        answer=step.answer,
        answer_text=_title(step.answer_text),
        by=step.by,
        fact=step.fact,
    )


def _title(text: Text) -> Title:
    return Title(en=text.en, da=text.da)
