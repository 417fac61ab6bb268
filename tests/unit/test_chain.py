"""The audit's hash chain: one form for every value, and every kind of tampering told apart."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest

from fleet.access.chain import (
    GENESIS,
    START,
    VERSION,
    Entry,
    Fault,
    Head,
    Link,
    Report,
    Verifier,
    canonical_text,
    digest_of,
    extend,
)

SALT = bytes(range(16))


def entry(audit_id: int, **changes: object) -> Entry:
    values: dict[str, object] = {
        "audit_id": audit_id,
        "tx": 700 + audit_id,
        "at_us": 1_772_366_400_123_456 + audit_id,
        "actor": "token 5 depot",
        "principal": "token:5",
        "origin": "192.0.2.7",
        "action": "models.changed",
        "subject_kind": "models",
        "subject": "12",
        "organisation_id": 3,
        "kit_id": None,
        "before": '{"price": 199.00}',
        "after": '{"price": 210.50}',
        "reason": "new list",
        "salt": SALT,
        "redacted": False,
    }
    return Entry(**{**values, **changes})  # type: ignore[arg-type]


def noted(audit_id: int, redacted: Entry) -> Entry:
    """The row that tells of a redaction."""
    left = f'{{"reason": {json.dumps(redacted.reason)}, "after": {redacted.after}, "before": {redacted.before}}}'
    subject = str(redacted.audit_id)
    return entry(audit_id, action="audit.redacted", subject=subject, before=None, after=left)


ENTRIES = [entry(number) for number in range(1, 7)]


def verify(links: list[Link], entries: list[Entry], anchor: Head = START, *heads: Head) -> Report:
    rows = {each.audit_id: each for each in entries}
    verifier = Verifier(anchor, heads)
    for link in links:
        verifier.link(link, rows.get(link.audit_id))
    return verifier.finish()


def faults(report: Report) -> list[tuple[int | None, Fault]]:
    return [(finding.position, finding.fault) for finding in report.findings]


def test_the_hash_is_what_the_documentation_says() -> None:
    """Worked out by other means, so that a reader of the documentation gets the same."""
    (link,) = extend(START, [entry(1)])
    texts = '[{"price":199.00},{"price":210.50},"new list"]'
    digest = hashlib.sha256(SALT + texts.encode()).digest()
    told = [VERSION, 1, 701, 1_772_366_400_123_457, "token 5 depot", "token:5", "192.0.2.7"]
    told += ["models.changed", "models", "12", 3, None]
    line = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    assert link == Link(1, 1, digest, hashlib.sha256(GENESIS + digest + line).digest())


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"b": 1, "a": [true, null]}', '{"a":[true,null],"b":1}'),
        ('{"price": 210.50, "tiny": 0.0000001}', '{"price":210.50,"tiny":0.0000001}'),
        ('{"n": 123456789012345678901234567890}', '{"n":123456789012345678901234567890}'),
        ('{"\\u00e6": "\\u001f\\n\\"\\\\/ \\u2028"}', '{"æ":"\\u001f\\n\\"\\\\/ \u2028"}'),
        ('{"\U0001f600": 1, "\uffee": 2}', '{"\uffee":2,"\U0001f600":1}'),
        ("9" * 5000, "9" * 5000),
        (None, "null"),
    ],
    ids=["order", "decimals", "large", "escapes", "code points", "thousands of digits", "nothing"],
)
def test_every_value_has_one_form(text: str | None, form: str) -> None:
    assert canonical_text(text) == form.encode()


def test_a_whole_chain_verifies() -> None:
    links = list(extend(START, ENTRIES))
    report = verify(links, ENTRIES, START, Head(4, links[3].hash))
    assert report == Report(first=1, head=Head(6, links[5].hash), links=6)


@pytest.mark.parametrize(
    "changes",
    [
        {"actor": "token 6 depot"},
        {"at_us": 1},
        {"tx": 1},
        {"origin": None},
        {"principal": "token:6"},
        {"action": "models.created"},
        {"subject_kind": "model"},
        {"subject": "13"},
        {"organisation_id": None},
        {"kit_id": 1},
    ],
    ids=str,
)
def test_a_changed_row_is_found(changes: dict[str, object]) -> None:
    links = list(extend(START, ENTRIES))
    changed = [*ENTRIES[:2], msgspec.structs.replace(ENTRIES[2], **changes), *ENTRIES[3:]]
    assert faults(verify(links, changed)) == [(3, Fault.HASH_DIFFERS)]


@pytest.mark.parametrize(
    "changes",
    [{"before": None}, {"after": '{"price": 210.5}'}, {"reason": None}, {"reason": ""}, {"salt": None}],
    ids=str,
)
def test_changed_texts_are_found(changes: dict[str, object]) -> None:
    links = list(extend(START, ENTRIES))
    changed = [*ENTRIES[:2], msgspec.structs.replace(ENTRIES[2], **changes), *ENTRIES[3:]]
    assert faults(verify(links, changed)) == [(3, Fault.TEXTS_CHANGED)]


def test_a_deleted_row_is_found() -> None:
    links = list(extend(START, ENTRIES))
    assert faults(verify(links, [*ENTRIES[:2], *ENTRIES[3:]])) == [(3, Fault.ROW_MISSING)]


def test_a_row_deleted_with_its_link_is_found() -> None:
    links = list(extend(START, ENTRIES))
    assert faults(verify([*links[:2], *links[3:]], ENTRIES)) == [(4, Fault.POSITIONS_MISSING)]


def test_a_row_deleted_and_the_rest_moved_up_is_found() -> None:
    links = list(extend(START, ENTRIES))
    moved = [*links[:2], *(Link(each.position - 1, each.audit_id, each.digest, each.hash) for each in links[3:])]
    assert faults(verify(moved, ENTRIES)) == [(3, Fault.HASH_DIFFERS)]


def test_rows_in_another_order_are_found() -> None:
    links = list(extend(START, ENTRIES))
    second, third = links[1], links[2]
    swapped = [links[0], Link(2, third.audit_id, third.digest, third.hash)]
    swapped += [Link(3, second.audit_id, second.digest, second.hash), *links[3:]]
    found = verify(swapped, ENTRIES)
    assert faults(found)[0] == (2, Fault.HASH_DIFFERS)


def test_a_row_put_in_is_found() -> None:
    links = list(extend(START, ENTRIES))
    forged = entry(99)
    (link,) = extend(Head(2, links[1].hash), [forged])
    later = [Link(each.position + 1, each.audit_id, each.digest, each.hash) for each in links[2:]]
    assert faults(verify([*links[:2], link, *later], [*ENTRIES, forged])) == [(4, Fault.HASH_DIFFERS)]


def test_a_row_behind_the_head_without_a_link_is_found() -> None:
    links = list(extend(START, ENTRIES[:3]))
    verifier = Verifier()
    for link, row in zip(links, ENTRIES, strict=False):
        verifier.link(link, row)
    verifier.unsealed(entry(99), behind=True)
    verifier.unsealed(ENTRIES[3])
    (finding,) = verifier.finish().findings
    assert (finding.audit_id, finding.fault) == (99, Fault.ROW_INSERTED)


def test_a_chain_made_anew_fits_itself_and_not_the_head_kept_elsewhere() -> None:
    kept = list(extend(START, ENTRIES))[-1]
    changed = [*ENTRIES[:2], msgspec.structs.replace(ENTRIES[2], actor="nobody"), *ENTRIES[3:]]
    links = list(extend(START, changed))
    assert verify(links, changed).faults == 0
    assert faults(verify(links, changed, START, Head(6, kept.hash))) == [(6, Fault.HEAD_DIFFERS)]


def test_rows_cut_off_at_the_end_show_by_the_head_kept_elsewhere_only() -> None:
    links = list(extend(START, ENTRIES))
    assert verify(links[:4], ENTRIES[:4]).faults == 0
    assert faults(verify(links[:4], ENTRIES[:4], START, Head(6, links[5].hash))) == [(6, Fault.HEAD_BEYOND_END)]


def test_a_redaction_keeps_the_chain_and_needs_a_row_that_tells_of_it() -> None:
    links = list(extend(START, ENTRIES))
    redacted = msgspec.structs.replace(ENTRIES[2], reason="[redacted]", salt=None, redacted=True)
    rows = [*ENTRIES[:2], redacted, *ENTRIES[3:]]
    assert faults(verify(links, rows)) == [(3, Fault.REDACTION_UNTOLD)]
    told = noted(7, redacted)
    links += extend(Head(6, links[-1].hash), [told])
    report = verify(links, [*rows, told])
    assert (report.faults, report.redacted) == (0, 1)
    changed = msgspec.structs.replace(redacted, after='{"price": 0.01}')
    assert faults(verify(links, [*ENTRIES[:2], changed, *ENTRIES[3:], told])) == [(3, Fault.REDACTION_UNTOLD)]
    wider = msgspec.structs.replace(redacted, actor="nobody")
    assert faults(verify(links, [*ENTRIES[:2], wider, *ENTRIES[3:], told])) == [(3, Fault.HASH_DIFFERS)]


def test_a_redaction_may_be_told_by_a_row_not_sealed_yet() -> None:
    redacted = msgspec.structs.replace(ENTRIES[0], reason="[redacted]", salt=None, redacted=True)
    (link,) = extend(START, ENTRIES[:1])
    verifier = Verifier()
    verifier.link(link, redacted)
    verifier.unsealed(noted(2, redacted))
    assert verifier.finish().faults == 0


def test_the_link_holds_nothing_that_the_redacted_text_could_be_guessed_by() -> None:
    one, other = entry(1, salt=bytes(16)), entry(1, salt=SALT)
    assert digest_of(one) != digest_of(other)


def test_a_removed_beginning_verifies_from_its_anchor_when_a_row_tells_of_it() -> None:
    links = list(extend(START, ENTRIES))
    anchor = Head(3, links[2].hash)
    assert faults(verify(links[3:], ENTRIES[3:], anchor)) == [(4, Fault.REMOVAL_UNTOLD)]
    after = json.dumps({"position": 3, "hash": anchor.hash.hex(), "removed": 3})
    told = entry(7, action="audit.trimmed", before=None, after=after)
    links += extend(Head(6, links[-1].hash), [told])
    rows = [*ENTRIES[3:], told]
    assert verify(links[3:], rows, anchor).faults == 0
    assert verify(links[3:], rows, anchor, anchor).faults == 0
    assert faults(verify(links[3:], rows, anchor, Head(2, links[1].hash))) == [(2, Fault.HEAD_REMOVED)]
    assert faults(verify(links[3:], rows, Head(3, bytes(32))))[0] == (4, Fault.HASH_DIFFERS)


@pytest.mark.parametrize("after", ["[]", "null", '{"position": "3"}', None])
def test_notes_that_tell_nothing_are_passed_over(after: str | None) -> None:
    rows = [entry(1, action="audit.trimmed", after=after), entry(2, action="audit.redacted", after=after)]
    links = list(extend(Head(3, SALT * 2), rows))
    assert faults(verify(links, rows, Head(3, SALT * 2))) == [(4, Fault.REMOVAL_UNTOLD)]


def test_many_faults_are_counted_and_few_are_shown() -> None:
    rows = [entry(number) for number in range(1, 101)]
    report = verify(list(extend(START, rows)), [])
    assert (report.faults, len(report.findings), report.links) == (100, 20, 100)


@pytest.mark.parametrize("text", ["", ":", "1:ab", "00" * 32, f":{'00' * 32}", f"-1:{'00' * 32}", f"1:{'zz' * 32}"])
def test_what_is_no_head_is_none(text: str) -> None:
    assert Head.parse(text) is None


def test_a_head_is_read_as_it_is_written() -> None:
    head = Head(17, SALT * 2)
    assert Head.parse(str(head)) == Head.parse(f" {head}\n") == head
