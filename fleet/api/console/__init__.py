"""The console: the API's own calls as pages, in Danish and English."""

from __future__ import annotations

from fastapi import APIRouter

from fleet.api.console import (
    account,
    books,
    callpages,
    credentialpages,
    escalationpages,
    incidents,
    levels,
    listpages,
    login,
    orderpages,
    outlets,
    pages,
    quieting,
    requestnewpages,
    requestpages,
    rulepages,
    scanpages,
    stockpages,
    stocktakepages,
    treepages,
    visitpages,
    visitplanpages,
)
from fleet.api.console.rendering import mount_static

__all__ = ["mount_static", "router"]

router = APIRouter()
for _part in (
    pages,
    books,
    callpages,
    credentialpages,
    escalationpages,
    listpages,
    login,
    account,
    quieting,
    incidents,
    levels,
    orderpages,
    outlets,
    requestnewpages,
    requestpages,
    rulepages,
    scanpages,
    stockpages,
    stocktakepages,
    treepages,
    visitpages,
    visitplanpages,
):
    router.include_router(_part.router)
