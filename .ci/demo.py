"""Run the README's demo command as a newcomer would, twice, and check what it promises.

python3 .ci/demo.py CLONE COMMAND

First run: `run.json` appears, `/readyz` answers, and within 150 s a silent and a drifted kit each have an
alert with an open service request; Ctrl-C ends everything. Second run: the requests of the first are found.
Only Python's own library is used: this runs before anything is installed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

INSTALLED_WITHIN_S = 240
READY_WITHIN_S = 60
FOUND_WITHIN_S = 150
STOPPED_WITHIN_S = 30
POLL_S = 0.5
RULES = ("silent", "version_drift")
RUN_FILE = re.compile(r"(/\S+/run\.json)")
ENDED_BY_CTRL_C = {0, 2, 130, -signal.SIGINT}
"""Of make: 2 when its command ended well after the signal, the others by its version."""


class DemoError(Exception):
    """What the README promises did not happen."""


class Demo:
    """One run of the command in a session of its own, its output shown and kept."""

    def __init__(self, clone: Path, command: str) -> None:
        self.begin = time.monotonic()
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", command],
            cwd=clone,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            print(f"  | {line}", end="", flush=True)

    def seconds(self) -> float:
        """Since the command was given."""
        return time.monotonic() - self.begin

    def wait_for(self, condition, within_s: float, what: str):
        """Ask until the answer is true, the time is over or the command has ended."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            answer = condition()
            if answer:
                print(f"{self.seconds():6.1f} s  {what}", flush=True)
                return answer
            if self.process.poll() is not None:
                raise DemoError(f"the command ended with {self.process.returncode} before: {what}")
            time.sleep(POLL_S)
        raise DemoError(f"not within {within_s} s: {what}")

    def run_file(self) -> dict | None:
        """What `run.json` says, once the command has told where it is and it names an address."""
        for line in list(self.lines):
            match = RUN_FILE.search(line)
            if match and Path(match[1]).is_file():
                run = json.loads(Path(match[1]).read_text(encoding="utf-8"))
                return run if run.get("http_url") else None
        return None

    def interrupt(self, pids: list[int]) -> None:
        """Ctrl-C as a terminal gives it: to the whole group; nothing may be left running."""
        begin = time.monotonic()
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            code = self.process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise DemoError(f"still running {STOPPED_WITHIN_S} s after Ctrl-C") from None
        self.reader.join(5)
        if code not in ENDED_BY_CTRL_C:
            raise DemoError(f"ended with {code} after Ctrl-C")
        left = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
        if left:
            raise DemoError(f"left running after Ctrl-C: {left}")
        if any("Traceback" in line for line in self.lines):
            raise DemoError("a traceback was printed")
        print(f"stopped in {time.monotonic() - begin:.1f} s", flush=True)

    def kill(self) -> None:
        """End what is left, on failure."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                os.killpg(self.process.pid, sign)
                try:
                    self.process.wait(20)
                except subprocess.TimeoutExpired:
                    continue


def get(run: dict, path: str) -> dict | None:
    """JSON of the API; None while it does not answer 200."""
    # The address is our own, read from run.json.
    request = urllib.request.Request(run["http_url"].rstrip("/") + path)  # noqa: S310
    request.add_header("Authorization", f"Bearer {run['token']}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            body = answer.read()
            return json.loads(body) if body.startswith((b"{", b"[")) else {"text": body.decode()}
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return None


def alert_with_request(run: dict, rule: str) -> str | None:
    """Number of an open service request about a kit with an active alert of `rule`."""
    alerts = get(run, f"/api/v1/alerts?state=active&rule={rule}") or {"items": []}
    for alert in alerts["items"]:
        requests = get(run, f"/api/v1/service-requests?state=open&kit={alert['kit']}") or {"items": []}
        for request in requests["items"]:
            ids = {entry["id"] if isinstance(entry, dict) else entry for entry in request["alerts"]}
            if alert["id"] in ids:
                return request["number"]
    return None


def begin(demo: Demo) -> dict:
    """Wait until the demo says where it is and is ready."""
    run = demo.wait_for(demo.run_file, INSTALLED_WITHIN_S, "run.json tells where it is")
    demo.wait_for(lambda: get(run, "/readyz"), READY_WITHIN_S, "/readyz answers 200")
    return run


def pids_of(demo: Demo) -> list[int]:
    """Every process the run file names now."""
    named = (demo.run_file() or {}).get("pids", {}).values()
    return [pid for entry in named for pid in (entry if isinstance(entry, list) else [entry]) if pid]


def first_run(demo: Demo) -> list[str]:
    """Numbers of the requests found."""
    run = begin(demo)
    ready = time.monotonic()
    numbers = []
    for rule in RULES:
        left_s = FOUND_WITHIN_S - (time.monotonic() - ready)
        found = partial(alert_with_request, run, rule)
        numbers.append(demo.wait_for(found, left_s, f"{rule}: alert and request"))
    demo.interrupt(pids_of(demo))
    return numbers


def second_run(demo: Demo, numbers: list[str]) -> None:
    """The data of the first run is there."""
    run = begin(demo)
    for number in numbers:
        if get(run, f"/api/v1/service-requests/{number}") is None:
            raise DemoError(f"service request {number} of the first run is not found in the second")
    print(f"{demo.seconds():6.1f} s  the second run finds {', '.join(numbers)}", flush=True)
    demo.interrupt(pids_of(demo))


def main() -> int:
    """0 when all was as promised."""
    clone, command = Path(sys.argv[1]), sys.argv[2]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"$ {command}", flush=True)
    demo = Demo(clone, command)
    try:
        numbers = first_run(demo)
        demo = Demo(clone, command)
        second_run(demo, numbers)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        demo.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
