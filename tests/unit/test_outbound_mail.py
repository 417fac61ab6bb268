"""When mail goes and what it says: digests, quiet hours over midnight and clock changes, bounds, both languages."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fleet.alerts.outbound.letters import Links, compose
from fleet.alerts.outbound.queue import Waiting
from fleet.alerts.outbound.wishes import MOST_PER_HOUR, Pace, Pending, Plan, Wishes, counted, plan, quiet_end

NOON = datetime(2026, 11, 25, 11, 0, tzinfo=UTC)  # 12:00 in Denmark
NIGHT = Wishes(quiet_from=time(22), quiet_until=time(7))


def at(hour: int, minute: int = 0, day: int = 25) -> datetime:
    """A moment by Danish winter time."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC) - timedelta(hours=1)


def waits(*ids: int, urgent: bool = False, since: datetime = NOON) -> list[Pending]:
    return [Pending(each, urgent, since) for each in ids]


def test_at_once_is_at_once() -> None:
    assert plan(Wishes(), waits(1, 2), NOON, None, 0) == Plan((1, 2), None)
    assert plan(Wishes(), [], NOON, None, 0) == Plan((), None)


def test_digests_wait_for_their_hour() -> None:
    hourly, daily = Wishes(Pace.HOURLY), Wishes(Pace.DAILY, daily_at=time(8))
    assert plan(hourly, waits(1, since=at(12, 10)), at(12, 20), None, 0) == Plan((), at(13))
    assert plan(hourly, waits(1, since=at(12, 10)), at(13), None, 0) == Plan((1,), None)
    assert plan(daily, waits(1, since=at(12)), at(13), None, 0) == Plan((), at(8, day=26))
    assert plan(daily, waits(1, since=at(7)), at(7, 30), None, 0) == Plan((), at(8))
    assert plan(daily, waits(1, since=at(7)), at(9), None, 0) == Plan((1,), None)


def test_quiet_hours_go_over_midnight() -> None:
    assert quiet_end(NIGHT, at(21, 59)) is None
    assert quiet_end(NIGHT, at(22)) == at(7, day=26)
    assert quiet_end(NIGHT, at(3)) == at(7)
    assert quiet_end(NIGHT, at(7)) is None
    assert plan(NIGHT, waits(1), at(23), None, 0) == Plan((), at(7, day=26))


def test_quiet_hours_end_by_the_clock_on_the_wall() -> None:
    """The night of 28 March 2027 is an hour shorter."""
    before = datetime(2027, 3, 27, 22, 0, tzinfo=UTC)
    assert quiet_end(NIGHT, before) == datetime(2027, 3, 28, 5, 0, tzinfo=UTC)


def test_what_is_urgent_passes_quiet_hours_where_that_is_wished() -> None:
    passing = Wishes(quiet_from=time(22), quiet_until=time(7), urgent_passes=True)
    both = [Pending(1, False, at(23)), Pending(2, True, at(23))]
    assert plan(passing, both, at(23), None, 0) == Plan((2,), at(7, day=26))
    assert plan(NIGHT, both, at(23), None, 0) == Plan((), at(7, day=26))


def test_beyond_the_bound_the_hour_is_waited_for_and_all_is_told_in_one() -> None:
    began = NOON - timedelta(minutes=30)
    assert plan(Wishes(), waits(1), NOON, began, MOST_PER_HOUR - 1).send == (1,)
    assert plan(Wishes(), waits(1), NOON, began, MOST_PER_HOUR) == Plan((), began + timedelta(hours=1))
    later = began + timedelta(hours=1)
    assert plan(Wishes(), waits(*range(99)), later, began, MOST_PER_HOUR) == Plan(tuple(range(99)), None)
    assert counted(later, began, MOST_PER_HOUR) == (later, 1)
    assert counted(NOON, began, 3) == (began, 4)


MOMENTS = st.integers(0, 700 * 24 * 60).map(lambda minutes: NOON + timedelta(minutes=minutes))
TIMES = st.one_of(st.none(), st.times().map(lambda each: each.replace(microsecond=0)))
WISHES = st.builds(
    Wishes,
    pace=st.sampled_from(Pace),
    daily_at=st.times(),
    quiet_from=TIMES,
    quiet_until=TIMES,
    urgent_passes=st.booleans(),
)


@given(WISHES, st.lists(st.tuples(st.booleans(), MOMENTS), max_size=5), MOMENTS, MOMENTS, st.integers(0, 20))
def test_whatever_is_wished_nothing_is_lost_and_nothing_quiet_is_broken(
    wishes: Wishes, facts: list[tuple[bool, datetime]], now: datetime, began: datetime, sent: int
) -> None:
    pending = [Pending(number, urgent, since) for number, (urgent, since) in enumerate(facts)]
    made = plan(wishes, pending, now, began, sent)
    left = {each.id for each in pending} - set(made.send)
    assert (made.next_at is not None) == bool(left)
    assert made.next_at is None or made.next_at > now
    if quiet_end(wishes, now) is not None:
        assert all(pending[each].urgent and wishes.urgent_passes for each in made.send)
    if made.next_at is not None:
        assert made.next_at <= max(now, *(each.queued_at for each in pending)) + timedelta(days=2, hours=2)


def fact(number: int, type_: str = "alert.opened", kit: str | None = "K-004711", **data: object) -> Waiting:
    payload = {"id": f"evt_{number}", "type": type_, "at": "2026-11-25T11:00:00+00:00", "data": data}
    return Waiting(number, f"evt_{number}", type_, kit, payload, 0, NOON, NOON)


def test_a_mail_says_what_and_where_and_nothing_else() -> None:
    links = Links("https://fleet.example.dk", "https://fleet.example.dk/unsubscribe/x")
    told = fact(1, rule="silent", severity="major", evidence={"battery": 3}, secret_text="not this")
    mail = compose([told], Wishes(language="da"), links, sender="fleet@example.dk", to="vagt@example.dk", now=NOON)
    plain = mail.get_body(("plain",))
    assert plain is not None
    text = plain.get_content()
    assert mail["Subject"] == "fleet: Alarm åbnet K-004711"
    assert "25-11 12:00 · Alarm åbnet · K-004711 · silent · major" in text
    assert "https://fleet.example.dk/kits/K-004711" in text
    assert "battery" not in text
    assert "not this" not in text
    assert mail["List-Unsubscribe"] == "<https://fleet.example.dk/unsubscribe/x>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Auto-Submitted"] == "auto-generated"
    html = mail.get_body(("html",))
    assert html is not None
    assert '<a href="https://fleet.example.dk/kits/K-004711">' in html.get_content()


def test_many_are_told_by_number() -> None:
    facts = [fact(number) for number in range(120)]
    mail = compose(facts, Wishes(language="en"), Links(None, None), sender="a@b.dk", to="c@d.dk", now=NOON)
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert mail["Subject"] == "fleet: 120 messages"
    assert "… and 70 more." in plain.get_content()
    assert plain.get_content().count("Alert opened") == 50


def test_signs_of_html_stand_as_they_are() -> None:
    mail = compose([fact(1, rule="<script>")], Wishes(), Links(None, None), sender="a@b.dk", to="c@d.dk", now=NOON)
    html = mail.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()
