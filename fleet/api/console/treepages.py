"""Problem trees: every version as text and drawing, edited as YAML, tried on a kit, published, and gone back to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.trees import store
from fleet.alerts.trees.lines import Fault, excerpt, located, renumbered
from fleet.alerts.trees.store import Kept
from fleet.alerts.trees.tree import MAX_VERSION, Tree, parse
from fleet.api import problemtrees
from fleet.api.auth import Call
from fleet.api.console.login import ConsoleForm
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.console.treedrawing import drawn, in_words
from fleet.api.problemtrees import ReadCalls, TreePath, TreeQuery, Version, Walked, WriteRules
from fleet.api.shapes import Query as QueryFields
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.protocol.topics import KIT_ID

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

MOST_CHARACTERS = 70_000
MOST_GIVEN = 200
SHOWN = 500
BLANK = """\
tree: short-name
version: 1
title: {en: "What is it about", da: "Hvad drejer det sig om"}
for: [silent]
start: first
nodes:
  first:
    question: {en: "Is the tablet switched on?", da: "Er tabletten tændt?"}
    known:
      - {fact: heard_lately, is: true, answer: "on"}
    answers:
      "on": {text: {en: "Yes", da: "Ja"}, next: works}
      "off": {text: {en: "No", da: "Nej"}, next: look}
  works:
    advice: {en: "It works.", da: "Det virker."}
  look:
    request: {cause: silent, line: service, priority: normal, text: {en: "Look at it.", da: "Se på det."}}
"""
Act = Literal["check", "begin", "publish"]


class VersionQuery(QueryFields):
    """Which version; the newest when nothing is said."""

    version: Version | None = None


class TreeForm(ConsoleForm):
    """A draft; `given` are answers of the trial so far as JSON pairs of node and answer, `say` one more."""

    body: str = Field("", max_length=MOST_CHARACTERS)
    kit: str = Field("", max_length=64)
    given: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=MOST_GIVEN)
    say: str = Field("", max_length=200)
    act: Act = "check"

    def text(self) -> str:
        """The draft with the line ends that it had before a browser sent it."""
        return self.body.replace("\r\n", "\n")

    def trying(self) -> bool:
        """Whether the trial is begun or gone on with."""
        return bool(self.say) or self.act == "begin"

    def answers(self) -> dict[str, str]:
        """The answers of the trial; what is no pair is none."""
        if self.act == "begin":
            return {}
        said = [*self.given, self.say] if self.say else self.given
        return dict(pair for each in said if (pair := _pair(each)) is not None)


class VersionForm(ConsoleForm):
    """The version to go back to."""

    version: int = Field(0, ge=0, le=MAX_VERSION)


@router.get("/problem-trees")
async def trees_page(request: Request, call: ReadCalls) -> Response:
    """All trees that are offered."""
    found = await problemtrees.list_trees(call, TreeQuery(limit=SHOWN))
    may_edit = call.principal.may(Permission.RULES_WRITE)
    return render(request, "trees.html", live=False, trees=found.items, may_edit=may_edit)


@router.get("/new-problem-tree")
async def new_tree_page(request: Request, call: WriteRules) -> Response:
    """The editor with a small example."""
    return await _editor(request, call, None, TreeForm(body=BLANK))


@router.post("/new-problem-tree")
async def work_on_new(request: Request, call: WriteRules, form: Annotated[TreeForm, Form()]) -> Response:
    """Check, try or publish a new tree."""
    return await _worked_on(request, call, None, form)


@router.get("/problem-trees/{tree}")
async def tree_page(
    request: Request, call: ReadCalls, tree: TreePath, query: Annotated[VersionQuery, Query()]
) -> Response:
    """A version as drawing and text, and all others."""
    return await _page(request, call, tree, query.version)


@router.get("/problem-trees/{tree}/edit")
async def edit_page(
    request: Request, call: WriteRules, tree: TreePath, query: Annotated[VersionQuery, Query()]
) -> Response:
    """The editor with a version, already under the next number."""
    kept = await store.versions(call.connection, tree)
    chosen = _chosen(kept, query.version, tree)
    return await _editor(request, call, tree, TreeForm(body=renumbered(chosen.body, _newest(kept) + 1)))


@router.post("/problem-trees/{tree}/edit")
async def work_on(request: Request, call: WriteRules, tree: TreePath, form: Annotated[TreeForm, Form()]) -> Response:
    """Check, try or publish another version."""
    return await _worked_on(request, call, tree, form)


@router.post("/problem-trees/{tree}/restore")
async def restore(request: Request, call: WriteRules, tree: TreePath, form: Annotated[VersionForm, Form()]) -> Response:
    """Let an earlier version count again, as a new one: what calls were led by stays readable."""
    kept = await store.versions(call.connection, tree)
    earlier = _chosen(kept, form.version or None, tree)
    if not _may_publish(call):
        return await _page(request, call, tree, form.version, refused="tree_for_all")
    try:
        body = renumbered(earlier.body, _newest(kept) + 1)
        await store.enter_version(call.connection, tree, body, by=call.principal)
    except (ConflictError, InvalidError):
        return await _page(request, call, tree, form.version, refused="tree_not_restored")
    return RedirectResponse(f"/problem-trees/{tree}", HTTPStatus.SEE_OTHER)


@router.post("/problem-trees/{tree}/retire")
async def retire(request: Request, call: WriteRules, tree: TreePath, form: Annotated[ConsoleForm, Form()]) -> Response:
    """Offer it no more."""
    if not _may_publish(call):
        return await _page(request, call, tree, None, refused="tree_for_all")
    await store.retire(call.connection, tree, by=call.principal)
    return RedirectResponse("/problem-trees", HTTPStatus.SEE_OTHER)


async def _worked_on(request: Request, call: Call, name: str | None, form: TreeForm) -> Response:
    text = form.text()
    faults = located(text)
    tree = None if faults else parse(text)
    if tree is not None:
        faults = await _misfits(call, name, tree, text)
    if tree is None or (faults and form.act == "publish"):
        return await _editor(request, call, name, form, faults=faults)
    if form.act == "publish":
        if not _may_publish(call):
            return await _editor(request, call, name, form, tree=tree, errors={"publish": "tree_for_all"})
        await store.enter_version(call.connection, tree.tree, text, by=call.principal)
        return RedirectResponse(f"/problem-trees/{tree.tree}", HTTPStatus.SEE_OTHER)
    if not form.trying():
        return await _editor(request, call, name, form, faults=faults, tree=tree)
    walked, errors = await _tried(call, tree, form)
    return await _editor(request, call, name, form, faults=faults, tree=tree, walked=walked, errors=errors)


async def _misfits(call: Call, name: str | None, tree: Tree, text: str) -> list[Fault]:
    """Why a sound tree cannot be published as it stands: its name, or its number."""
    rows = text.splitlines()
    if name is not None and tree.tree != name:
        return [Fault(_row(rows, "tree:"), "tree", f"says {tree.tree!r}, and is entered as {name!r}")]
    try:
        newest = _newest(await store.versions(call.connection, tree.tree))
    except NotFoundError:
        return []
    if tree.version > newest:
        return []
    detail = f"has version {newest} already: give this one version {newest + 1}"
    return [Fault(_row(rows, "version:"), "version", detail)]


async def _tried(call: Call, tree: Tree, form: TreeForm) -> tuple[Walked | None, dict[str, str]]:
    kit = form.kit.strip()
    if kit and not KIT_ID.fullmatch(kit):
        return None, {"kit": "tree_no_kit"}
    try:
        return await problemtrees.walked_in(call, tree, kit=kit or None, answers=form.answers()), {}
    except NotFoundError:
        return None, {"kit": "tree_no_kit"}
    except InvalidError:
        # The tree was changed under the answers: the trial begins anew.
        form.given, form.say = [], ""
        return await problemtrees.walked_in(call, tree, kit=kit or None, answers={}), {}


async def _editor(
    request: Request,
    call: Call,
    name: str | None,
    form: TreeForm,
    *,
    faults: Sequence[Fault] = (),
    tree: Tree | None = None,
    walked: Walked | None = None,
    errors: Mapping[str, str] | None = None,
) -> Response:
    language, text = language_of(request), form.text()
    wrong = faults or errors
    return render(
        request,
        "treeedit.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if wrong else HTTPStatus.OK,
        path=f"/problem-trees/{name}/edit" if name else "/new-problem-tree",
        live=False,
        name=name,
        form=form,
        text=text,
        faults=[(each, in_words(each.detail, language), excerpt(text, each.line)) for each in faults],
        tree=tree,
        root=drawn(tree) if tree is not None else None,
        walked=walked,
        given=[json.dumps(pair) for pair in form.answers().items()],
        pair=lambda node, answer: json.dumps([node, answer]),
        errors=errors or {},
        may_publish=_may_publish(call),
    )


async def _page(
    request: Request, call: Call, tree: str, version: int | None, *, refused: str | None = None
) -> Response:
    kept = await store.versions(call.connection, tree)
    chosen = _chosen(kept, version, tree)
    counting = None if kept[0].retired else max(kept, key=lambda each: each.version).version
    values: dict[str, Any] = {"tree": None, "root": None}
    try:
        read = parse(chosen.body)
        values = {"tree": read, "root": drawn(read)}
    except InvalidError:
        # A version that was taken by earlier rules is shown as it is written.
        refused = refused or "tree_unreadable"
    return render(
        request,
        "tree.html",
        status=HTTPStatus.CONFLICT if refused and refused != "tree_unreadable" else HTTPStatus.OK,
        path=f"/problem-trees/{tree}",
        live=False,
        name=tree,
        chosen=chosen,
        versions=sorted(kept, key=lambda each: -each.version),
        counting=counting,
        refused=refused,
        may_edit=call.principal.may(Permission.RULES_WRITE),
        may_publish=_may_publish(call),
        **values,
    )


def _may_publish(call: Call) -> bool:
    """Trees are the same for all: they are published by who is bound to no organisation."""
    return call.principal.scope(Permission.RULES_WRITE).organisations is None


def _chosen(kept: Sequence[Kept], version: int | None, name: str) -> Kept:
    wanted = _newest(kept) if version is None else version
    for each in kept:
        if each.version == wanted:
            return each
    raise NotFoundError("problem tree", f"{name} in version {version}")


def _newest(kept: Sequence[Kept]) -> int:
    return max(each.version for each in kept)


def _row(rows: Sequence[str], begin: str) -> int | None:
    return next((number for number, row in enumerate(rows, 1) if row.startswith(begin)), None)


def _pair(text: str) -> tuple[str, str] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list) and len(found) == 2 and all(isinstance(each, str) for each in found):
        return found[0], found[1]
    return None
