"""`fleet up`: everything on one machine, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from fleet.cli import context
from fleet.cli.supervise import demo, steps
from fleet.cli.supervise.lock import only_one
from fleet.cli.supervise.logs import LogFolder
from fleet.cli.supervise.plan import Plan, make_plan
from fleet.cli.supervise.runfile import RunFile
from fleet.cli.supervise.screen import Screen
from fleet.cli.supervise.summary import Source, follow
from fleet.cli.supervise.supervisor import Supervisor
from fleet.config import Settings
from fleet.embedded.broker import BrokerKind
from fleet.embedded.files import make_folder

MOST_KITS = 20_000
_READY_WITHIN_S = 60.0


def up(
    simulate: Annotated[int, typer.Option(min=0, max=MOST_KITS, help="Add this many simulated kits.")] = 0,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where to keep everything.", readable=False, show_default=False)
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the console; 0 takes a free one.", show_default=False),
    ] = None,
    broker: Annotated[BrokerKind, typer.Option(help="Which broker to run.")] = BrokerKind.AUTO,
    duration: Annotated[
        float | None, typer.Option(min=0, help="Stop by itself after so many seconds.", show_default=False)
    ] = None,
) -> None:
    """Run everything on one machine: database, broker, roles and, with --simulate, a demo."""
    asyncio.run(_up(_settings(data_dir, http_port), Wishes(simulate, broker, duration)))


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for on the command line beyond the settings."""

    simulate: int
    broker: BrokerKind
    duration_s: float | None


def _settings(data_dir: Path | None, http_port: int | None) -> Settings:
    settings = context.settings("up")
    changed = {"data_dir": (data_dir or settings.data_dir).expanduser().absolute()}
    return settings.model_copy(update=changed | ({} if http_port is None else {"http_port": http_port}))


async def _up(settings: Settings, wishes: Wishes) -> None:
    """Hold the folder, run, and stop everything in order whatever happens."""
    demo.allow_connections(wishes.simulate)
    # Root's folder is one that the user of the servers may pass through; what is secret in it is not for them.
    make_folder(settings.data_dir, 0o711 if os.geteuid() == 0 else 0o700)
    view = Screen()
    with only_one(settings.data_dir):
        logs = LogFolder(settings.data_dir / "logs")
        logs.bound()
        run_file = RunFile(settings.data_dir / "run.json")
        run_file.remove()
        supervisor = Supervisor(logs, run_file.update_pids, view.say)
        try:
            with _stop_asked(supervisor) as stop:
                try:
                    await _until(stop, supervisor, _run(settings, wishes, supervisor, run_file, view))
                finally:
                    view.settle()
                    if supervisor.pids:
                        view.say("stopping")
                    await supervisor.stop()
        finally:
            run_file.remove()
    view.say("stopped")


async def _run(settings: Settings, wishes: Wishes, supervisor: Supervisor, run_file: RunFile, view: Screen) -> None:
    """Start everything in order, tell where it is, and follow it."""
    view.progress(f"preparing {settings.data_dir}")
    plan, notes = make_plan(settings, wishes.broker)
    for note in notes:
        view.say(note)
    view.progress("starting database and broker")
    await _start_servers(plan, supervisor)
    token = await steps.administrator_token(plan)
    view.say(f"console   {plan.http_url}")
    view.say(f"login     {token}")
    view.progress("starting ingest, worker and API")
    await _start_roles(plan, supervisor, view)
    run_file.publish(_addresses(plan, token))
    run_file.update_pids(supervisor.pids)
    if wishes.simulate:
        view.progress(f"entering {wishes.simulate} simulated kits")
        await demo.seed(plan, wishes.simulate, supervisor.logs)
        await supervisor.start(demo.simulator_role(plan, wishes.simulate))
    view.say(f"ready     {plan.data_dir}/run.json tells scripts where everything is; Ctrl-C stops it all")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wishes.duration_s):
            await follow(Source(plan, token), supervisor, view)


async def _start_servers(plan: Plan, supervisor: Supervisor) -> None:
    for role in plan.servers():
        await supervisor.start(role)
    await steps.run_step("migrate", plan.command("migrate"), supervisor.logs)
    for role in plan.brokers():
        await supervisor.start(role)


async def _start_roles(plan: Plan, supervisor: Supervisor, view: Screen) -> None:
    await asyncio.gather(*(supervisor.start(role) for role in plan.own_roles()))
    if not await steps.becomes_true(f"{plan.http_url}/readyz", _READY_WITHIN_S):
        view.say(f"{plan.http_url}/readyz is not ready after {_READY_WITHIN_S:.0f} s; going on")


def _addresses(plan: Plan, token: str) -> dict[str, Any]:
    own_listener = {} if plan.mqtt5_url == plan.mqtt_url else {"mqtt5_url": plan.mqtt5_url}
    return {
        "pid": os.getpid(),
        "http_url": plan.http_url,
        "mqtt_url": plan.mqtt_url,
        **own_listener,
        "database_url": plan.database_url,
        "token": token,
        "metrics_urls": plan.metrics_urls,
    }


async def _until(stop: asyncio.Event, supervisor: Supervisor, work: Coroutine[Any, Any, None]) -> None:
    """Do `work` until it is done, `stop` is set or a role is given up, which raises the reason."""
    working = asyncio.create_task(work, name="run")
    stopped = asyncio.create_task(stop.wait(), name="stop")
    failed = asyncio.create_task(supervisor.failed(), name="failed")
    tasks: set[asyncio.Task[Any]] = {working, stopped, failed}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failed in done:
        raise failed.result()
    if working in done:
        working.result()


@contextlib.contextmanager
def _stop_asked(supervisor: Supervisor) -> Iterator[asyncio.Event]:
    """The event that the first signal sets; a second signal hurries the supervisor."""
    stop = asyncio.Event()

    def asked() -> None:
        (supervisor.hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for sign in signals:
        loop.add_signal_handler(sign, asked)
    try:
        yield stop
    finally:
        for sign in signals:
            loop.remove_signal_handler(sign)
