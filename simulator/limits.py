"""As many open files as there are connections."""

from __future__ import annotations

import resource

from simulator.errors import ScenarioError

BESIDE = 100
"""Files open besides the kits' sockets, generously."""


def allow_connections(kits: int) -> None:
    """Raise this process's limit of open files as far as needed; raises ScenarioError when it may not."""
    needed = kits + BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ScenarioError(
            f"fleet.kits: {kits} kits need {needed} open files, this machine allows a process {hard} (ulimit -Hn)"
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
