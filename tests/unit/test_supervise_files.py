"""run.json, logs, the lock and the screen: small things that others rely on."""

from __future__ import annotations

import io
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from fleet.cli.supervise.demo import with_stored
from fleet.cli.supervise.fetch import samples
from fleet.cli.supervise.lock import only_one
from fleet.cli.supervise.logs import LogFolder
from fleet.cli.supervise.runfile import RunFile
from fleet.cli.supervise.screen import Screen
from fleet.cli.supervise.summary import Numbers, lines
from fleet.embedded.ports import PortBook, is_free
from fleet.errors import UnavailableError


def test_run_json_is_private_and_appears_only_with_its_addresses(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path / "run.json")
    run_file.update_pids({"postgres": 1})
    assert not run_file.path.exists()
    run_file.publish({"http_url": "http://127.0.0.1:1"})
    assert json.loads(run_file.path.read_text()) == {"http_url": "http://127.0.0.1:1", "pids": {"postgres": 1}}
    assert stat.S_IMODE(run_file.path.stat().st_mode) == 0o600
    run_file.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_reader_of_run_json_never_sees_half_of_it(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path / "run.json")
    run_file.publish({"http_url": "x" * 5000})
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not done.is_set():
            seen.append(json.loads(run_file.path.read_text())["pids"].get("ingest", 0))

    reader = threading.Thread(target=read)
    reader.start()
    for pid in range(1, 300):
        run_file.update_pids({"ingest": pid})
    done.set()
    reader.join(10)
    assert seen == sorted(seen)
    assert seen


def test_the_second_of_two_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    with (
        only_one(tmp_path),
        pytest.raises(UnavailableError, match=rf"running in .* already \(process {os.getpid()}\): stop it"),
        only_one(tmp_path),
    ):
        pass
    with only_one(tmp_path):
        pass


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "x", "level": "error"}',
        "2026-01-01T00:00:00Z [\x1b[31merror    \x1b[0m] x",
        "Traceback (most recent call last):",
    ],
)
def test_an_error_in_a_log_is_noticed_once(tmp_path: Path, line: str) -> None:
    logs = LogFolder(tmp_path)
    with logs.open("ingest") as log:
        log.write(b'{"event": "fine", "level": "info"}\n')
        log.flush()
        assert logs.new_error("ingest") is None
        log.write(f"{line}\n".encode())
    assert logs.new_error("ingest")
    assert logs.new_error("ingest") is None


def test_a_log_that_grew_too_large_is_moved_aside_while_it_is_written(tmp_path: Path) -> None:
    logs = LogFolder(tmp_path, largest_bytes=1000)
    with logs.open("api") as log:
        log.write(b"x" * 999 + b"\nold\n")
        log.flush()
        logs.bound()
        log.write(b"new\n")
    assert logs.path("api").read_text() == "new\n"
    assert (tmp_path / "api.log.1").read_text().endswith("old\n")
    assert logs.last_lines("api") == ["new"]
    assert logs.last_lines("nobody") == []


def test_a_port_is_remembered_while_it_is_free(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    first, other = book.take("one"), book.take("two")
    assert first != other
    assert is_free(first)
    assert PortBook(tmp_path / "ports.json").take("one") == first


@pytest.mark.parametrize("content", ["", "[]", "{", '{"one": "x", "two": 70000}'])
def test_a_damaged_book_of_ports_is_begun_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "ports.json").write_text(content)
    assert PortBook(tmp_path / "ports.json").take("one") > 0


def test_without_a_terminal_each_summary_is_one_plain_line() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.say("hello")
    screen.show(["kits  3", "alerts  none"])
    assert out.getvalue() == "hello\nkits 3; alerts none\n"


def test_on_a_terminal_the_summary_is_redrawn_below_what_is_said() -> None:
    out = Terminal()
    screen = Screen(out)
    screen.show(["one", "two"])
    screen.say("said")
    assert out.getvalue() == "one\ntwo\n" + "\x1b[2F\x1b[J" + "said\none\ntwo\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_summary_tells_what_is_open_and_what_does_not_answer() -> None:
    before = Numbers(10.0, 100.0, None, None, None)
    alerts = [{"kit": f"K-{number}", "rule": "silent"} for number in range(6)]
    request = {"number": "SR-1", "kit": None, "cause": "silent"}
    now = Numbers(12.0, 150.0, {"ok": 3, "silent": 6, "fault": 0}, alerts, [request])
    told = lines(now, before, "http://x")
    assert told[1] == "heartbeats  25.0/s, 150 stored"
    assert told[2] == "kits        3 ok, 6 silent"
    assert told[3] == "alerts      6: K-0 silent, K-1 silent, K-2 silent, K-3 silent and 2 more"
    assert told[4] == "requests    1: SR-1 incident silent"
    assert "does not answer" in lines(before, None, "http://x")[3]


def test_samples_of_one_metric_are_found_by_label() -> None:
    text = '# HELP a b\na_total{kind="x"} 3.0\na_total{kind="y"} 4e2\na_created 1\nb 7\n'
    assert samples(text, "a_total") == {'kind="x"': 3.0, 'kind="y"': 400.0}
    assert samples(text, "b") == {"": 7.0}


def test_kits_of_a_larger_demo_before_go_into_stock() -> None:
    played = [{"kit": "K-1", "state": "installed"}]
    earlier = [{"kit": "K-1", "state": "installed"}, {"kit": "K-2", "state": "installed"}]
    assert with_stored(played, earlier) == [*played, {"kit": "K-2", "state": "in_stock"}]
