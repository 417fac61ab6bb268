"""How many agents a number of calls needs: Erlang's formula for a queue in which callers wait (Erlang C). Pure.

Source: A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic telephone
exchanges", 1917. Callers arrive at random, talk for an exponential time, wait as long as it takes.
"""

from __future__ import annotations

import math

MOST_AGENTS = 500


def waiting_share(calls_per_hour: float, minutes: float, agents: int) -> float:
    """The share of callers that must wait at all; 1 when the agents cannot keep up."""
    load = calls_per_hour * minutes / 60
    if load <= 0:
        return 0.0
    if agents <= load:
        return 1.0
    # Erlang B by its recursion, which does not overflow, and C from it.
    blocked = 1.0
    for agent in range(1, agents + 1):
        blocked = load * blocked / (agent + load * blocked)
    return blocked / (1 - load / agents * (1 - blocked))


def answered_within(calls_per_hour: float, minutes: float, agents: int, seconds: float) -> float:
    """The share of callers that are answered within `seconds`."""
    load = calls_per_hour * minutes / 60
    if load <= 0:
        return 1.0
    if agents <= load:
        return 0.0
    waiting = waiting_share(calls_per_hour, minutes, agents)
    return 1 - waiting * math.exp(-(agents - load) * seconds / (minutes * 60))


def agents_needed(calls_per_hour: float, minutes: float, *, share: float = 0.8, seconds: float = 20.0) -> int:
    """The fewest agents with whom `share` of the callers are answered within `seconds`; at most `MOST_AGENTS`."""
    if calls_per_hour <= 0 or minutes <= 0:
        return 0
    agents = min(MOST_AGENTS, max(1, math.floor(calls_per_hour * minutes / 60)))
    while agents < MOST_AGENTS and answered_within(calls_per_hour, minutes, agents, seconds) < share:
        agents += 1
    return agents
