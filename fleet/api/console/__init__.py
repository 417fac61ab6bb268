"""The console: the API's own calls as pages, in Danish and English."""

from __future__ import annotations

from fleet.api.console.pages import router
from fleet.api.console.rendering import mount_static

__all__ = ["mount_static", "router"]
