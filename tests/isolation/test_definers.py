"""Functions that run with their owner's rights, which no policy binds: every one, read off the catalogue, is tried.

Most do not ask who sees what they are about. Then it is said who asks before they are called, and tried that this finds
nothing for strangers; or that only a secret leads to something; or that what is answered is of nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.isolation.catalogue import Connection, reading
from tests.isolation.world import A, B

SIGNATURES = """
SELECT p.proname::text, p.oid::regprocedure::text, p.prorettype = 'trigger'::regtype,
       has_function_privilege('fleet_api', p.oid, 'EXECUTE'), has_function_privilege('fleet_grafana', p.oid, 'EXECUTE'),
       p.proconfig @> ARRAY['search_path=public'] OR array_to_string(p.proconfig, ' ') LIKE '%%search_path=%%'
FROM pg_proc p WHERE p.prosecdef AND p.pronamespace = 'public'::regnamespace ORDER BY 1
"""
READERS = {"login_sees_all", "login_organisations"}
"""What dashboards' logins call as well: their own scope."""

KIT = "SELECT FROM kits WHERE kit_id = %(kit)s"
AUDIT = "SELECT FROM audit WHERE audit_id = %(line)s"
CONTRACT = "SELECT FROM contracts WHERE contract_id = %(contract)s"
REQUEST = "SELECT FROM service_requests WHERE request_id = %(request)s"
INCIDENT = "SELECT FROM incidents WHERE incident_id = %(incident)s"
VISIT = "SELECT FROM visits WHERE visit_id = %(visit)s"
OUTLET = "SELECT FROM outlets WHERE outlet_id = %(outlet)s"
USER = "SELECT FROM users WHERE user_id = %(user)s"
REFERENCE = "SELECT FROM placement_references WHERE reference_id = %(reference)s"


@dataclass(frozen=True, slots=True)
class Asked:
    """Whoever calls it asks first; `by` finds nothing for a stranger and something for whose it is."""

    call: str
    by: str


@dataclass(frozen=True, slots=True)
class Secret:
    """Only what nobody guesses leads to an answer: `right` finds something, `wrong` nothing, whatever the scope."""

    right: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Nobodys:
    """What it answers or does is of nobody; `why` it may."""

    call: str
    why: str


CASES: Mapping[str, Asked | Secret | Nobodys] = {
    "redact_audit": Asked("SELECT redact_audit(%(line)s, '{before}', 'x')", AUDIT),
    "redact_book_event": Asked(
        "SELECT redact_book_event(%(event)s, '{reason}', 'x')", "SELECT FROM book_events WHERE event_id = %(event)s"
    ),
    "redact_request": Asked("SELECT redact_request(%(request)s, 'x')", REQUEST),
    "forget_placement_texts": Asked("SELECT forget_placement_texts(ARRAY[%(reference)s::bigint], 'x')", REFERENCE),
    "requests_to_measure": Asked("SELECT requests_to_measure(%(contract)s)", CONTRACT),
    "sla_terms": Asked("SELECT sla_terms(ARRAY[%(contract)s::integer])", REQUEST),
    "reopen_within_s": Asked("SELECT reopen_within_s(%(contract)s::integer)", REQUEST),
    "contract_for": Asked("SELECT contract_for(%(organisation)s, NULL, NULL, now())", KIT),
    "visit_target_days": Asked("SELECT visit_target_days(%(organisation)s, NULL, NULL, now(), false)", KIT),
    "incident_parties": Asked("SELECT incident_parties(%(incident)s)", INCIDENT),
    "logs_spoken_for": Asked("SELECT logs_spoken_for(ARRAY[%(request)s::bigint])", REQUEST),
    "maintenance_of_kit": Asked("SELECT maintenance_of_kit(%(kit)s)", KIT),
    "maintenance_spells": Asked("SELECT maintenance_spells(ARRAY[%(kit)s::integer], '-infinity')", KIT),
    "variants_applying": Asked("SELECT variants_applying('storage_low', ARRAY[%(kit)s::integer])", KIT),
    "end_visit_reservations": Asked("SELECT end_visit_reservations(%(visit)s, 'released')", VISIT),
    "move_visit_reservations": Asked("SELECT move_visit_reservations(%(visit)s, current_date)", VISIT),
    "user_grants": Asked("SELECT user_grants(%(user)s)", USER),
    "end_subscription": Asked("SELECT end_subscription(%(outlet)s)", OUTLET),
    "hurry_connector": Asked("SELECT hurry_connector(%(outlet)s)", OUTLET),
    "inbound_secret_of": Asked("SELECT inbound_secret_of(%(outlet)s)", OUTLET),
    "parent_before": Asked(
        "SELECT parent_before(%(organisation)s)", "SELECT FROM organisations WHERE organisation_id = %(organisation)s"
    ),
    "authenticate_token": Secret(
        "SELECT authenticate_token(%(token_hash)s, NULL)", "SELECT authenticate_token(%(wrong)s, NULL)"
    ),
    "authenticate_session": Secret(
        "SELECT authenticate_session(%(session_hash)s, interval '1 hour', false)",
        "SELECT authenticate_session(%(wrong)s, interval '1 hour', false)",
    ),
    "login_facts": Secret("SELECT login_facts(%(username)s, NULL)", "SELECT login_facts('zznobody', NULL)"),
    "begin_session": Nobodys(
        "SELECT begin_session(%(wrong)s, NULL, NULL, 'password', 'open', interval '1 hour', NULL)",
        "a login that was proven by then; one of nobody is refused",
    ),
    "end_session": Nobodys("SELECT end_session(%(wrong)s)", "one's own, by its secret"),
    "any_user": Nobodys("SELECT any_user()", "whether there is anybody at all"),
    "take_login_attempt": Nobodys("SELECT take_login_attempt(%(wrong)s, '{1}', 60)", "counted by a hash"),
    "give_back_login_attempt": Nobodys("SELECT give_back_login_attempt(%(wrong)s)", "as above"),
    "forget_login_attempts": Nobodys("SELECT forget_login_attempts(%(wrong)s)", "as above"),
    "note_audit": Nobodys("SELECT note_audit('x', 'x', '1', NULL)", "a line more; none is changed or shown"),
    "audit_head": Nobodys("SELECT audit_head()", "a hash over everybody's lines"),
    "login_sees_all": Nobodys("SELECT login_organisations()", "the login's own scope"),
    "login_organisations": Nobodys("SELECT login_organisations()", "as above"),
    "redact_quarantine": Nobodys("SELECT redact_quarantine(-1, 'x')", "asked for through a policy that shows it to the"
                                 " installation only"),
}  # fmt: skip

IDENTIFIERS = """
SELECT o.organisation_id AS organisation, k.kit_id AS kit, %(side)s || '-user' AS username,
       (SELECT max(a.audit_id) FROM audit a WHERE a.organisation_id = o.organisation_id) AS line,
       (SELECT max(e.event_id) FROM book_events e WHERE e.kit_id = k.kit_id) AS event,
       (SELECT r.request_id FROM service_requests r WHERE r.number = 'SR-' || %(side)s || '-1') AS request,
       (SELECT max(c.contract_id) FROM contracts c WHERE c.organisation_id = o.organisation_id) AS contract,
       (SELECT max(m.incident_id) FROM incident_members m WHERE m.kit_id = k.kit_id) AS incident,
       (SELECT max(v.visit_id) FROM visits v WHERE v.organisation_id = o.organisation_id) AS visit,
       (SELECT max(t.outlet_id) FROM outlets t WHERE t.organisation_id = o.organisation_id) AS outlet,
       (SELECT u.user_id FROM users u WHERE u.username = %(side)s || '-user') AS "user",
       (SELECT max(p.reference_id) FROM placement_references p
        WHERE p.organisation_id = o.organisation_id) AS reference,
       (SELECT t.secret_hash FROM tokens t WHERE t.organisation_id = o.organisation_id LIMIT 1) AS token_hash,
       (SELECT s.secret_hash FROM sessions s JOIN users u USING (user_id) WHERE u.username = %(side)s || '-user'
        LIMIT 1) AS session_hash,
       '\\x00'::bytea AS wrong
FROM organisations o JOIN kits k ON k.kit = o.slug || '-installed' WHERE o.slug = %(side)s
"""


@pytest.fixture
def connection(world: str) -> Iterator[Connection]:
    """An administrator's connection; what is called on it leaves nothing."""
    with psycopg.connect(world, autocommit=True) as opened:
        yield opened


@pytest.fixture
def theirs(connection: Connection) -> dict[str, Any]:
    """Identifiers of what is B's, by name."""
    cursor = connection.execute(IDENTIFIERS, {"side": B})
    row = cursor.fetchone()
    assert row
    found = dict(zip([column.name for column in cursor.description or ()], row, strict=True))
    assert [name for name, value in found.items() if value is None] == [], f"the world has none of {B}"
    return found


def scope_of(connection: Connection, slug: str) -> str:
    """What the transactions of somebody there say."""
    query = "SELECT scope_of(organisation_id)::text FROM organisations WHERE slug = %s"
    found = connection.execute(query, (slug,)).fetchone()
    assert found
    return str(found[0])


def answered(connection: Connection, scope: str, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a query as the API within a scope."""
    with reading(connection, scope):
        return connection.execute(query.encode(), values).fetchall()


def test_every_function_has_a_case_or_is_closed_to_the_api(connection: Connection) -> None:
    found = connection.execute(SIGNATURES).fetchall()
    assert len(found) > 40
    called = {name for name, _, _, api, _, _ in found if api}
    assert called == CASES.keys(), "functions without a case, or cases without a function"
    for name, signature, trigger, api, grafana, fixed in found:
        assert fixed, f"{signature} has no search_path of its own"
        assert not (trigger and api), f"{signature} can be made a trigger of: CALL close_trigger_functions()"
        assert grafana == (name in READERS), f"{signature} can be called by a dashboard's login"


def test_what_is_closed_is_refused(connection: Connection) -> None:
    closed = [row for row in connection.execute(SIGNATURES).fetchall() if not row[3] and not row[2]]
    assert closed
    for name, signature, *_ in closed:
        given = signature.partition("(")[2].rstrip(")")
        arguments = sql.SQL(", ").join(sql.SQL("NULL::" + each) for each in given.split(",") if each)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), reading(connection, "*"):
            connection.execute(sql.SQL("SELECT {}({})").format(sql.Identifier(name), arguments))


@pytest.mark.parametrize("role", ["fleet_api", "fleet_worker", "fleet_ingest", "fleet_grafana"])
def test_nobody_makes_triggers_of_them(connection: Connection, role: str) -> None:
    """On a temporary table of one's own, they would act on, or tell, what is everybody's."""
    triggers = [row[0] for row in connection.execute(SIGNATURES).fetchall() if row[2]]
    assert "move_open_cases" in triggers
    for name in triggers:
        with connection.transaction(force_rollback=True):
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
            connection.execute("CREATE TEMPORARY TABLE mine (kit_id integer, kit text, organisation_id integer)")
            query = sql.SQL("CREATE TRIGGER t BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION {}()")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(query.format(sql.Identifier(name)))


@pytest.mark.parametrize("name", CASES)
def test_it_gives_strangers_nothing(connection: Connection, theirs: dict[str, Any], name: str) -> None:
    case = CASES[name]
    stranger, own = scope_of(connection, A), scope_of(connection, B)
    match case:
        case Asked():
            assert answered(connection, stranger, case.by, theirs) == []
            assert answered(connection, "{}", case.by, theirs) == []
            assert len(answered(connection, own, case.by, theirs)) == 1
            answered(connection, own, case.call, theirs)
        case Secret():
            for scope in (stranger, "{}", own):
                assert answered(connection, scope, case.wrong, theirs) == []
            assert len(answered(connection, "{}", case.right, theirs)) == 1
        case Nobodys():
            try:
                told = str(answered(connection, stranger, case.call, theirs))
            except psycopg.errors.CheckViolation:
                told = ""
            assert B not in told, case.why
