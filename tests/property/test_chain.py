"""The audit's hash chain: sealing in any batches gives one chain, and no single change to it goes unseen."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fleet.access.chain import START, Entry, Head, Link, Report, Verifier, canonical_text, extend

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
json_texts = st.none() | st.dictionaries(texts, values, max_size=4).map(json.dumps)
ids = st.integers(1, 2**63 - 1)


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Rows with different ids; of what they tell anything goes."""
    return [
        Entry(
            audit_id=audit_id,
            tx=draw(ids),
            at_us=draw(st.integers(-(2**60), 2**60)),
            actor=draw(texts),
            principal=draw(st.none() | texts),
            origin=draw(st.none() | texts),
            action=draw(texts),
            subject_kind=draw(texts),
            subject=draw(st.none() | texts),
            organisation_id=draw(st.none() | ids),
            kit_id=draw(st.none() | ids),
            before=draw(json_texts),
            after=draw(json_texts),
            reason=draw(st.none() | texts),
            salt=draw(st.binary(min_size=16, max_size=16)),
            redacted=False,
        )
        for audit_id in draw(st.lists(ids, unique=True, min_size=1, max_size=6))
    ]


def verify(links: list[Link], rows: list[Entry], *noted: Head) -> Report:
    by_id = {row.audit_id: row for row in rows}
    verifier = Verifier(noted=noted)
    for link in links:
        verifier.link(link, by_id.get(link.audit_id))
    return verifier.finish()


@given(entries(), st.data())
def test_batches_make_no_difference(rows: list[Entry], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    first = list(extend(START, rows[:cut]))
    head = Head(first[-1].position, first[-1].hash) if first else START
    links = first + list(extend(head, rows[cut:]))
    assert links == list(extend(START, rows))
    assert verify(links, rows).faults == 0


@given(entries(), st.data())
def test_no_change_of_a_field_goes_unseen(rows: list[Entry], data: st.DataObject) -> None:
    links = list(extend(START, rows))
    place = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from([each for each in Entry.__struct_fields__ if each != "audit_id"]))
    strategy = {
        "tx": ids,
        "at_us": st.integers(-(2**60), 2**60),
        "organisation_id": st.none() | ids,
        "kit_id": st.none() | ids,
        "before": json_texts,
        "after": json_texts,
        "salt": st.none() | st.binary(min_size=16, max_size=16),
        "redacted": st.just(True),
    }.get(name, texts)
    changed = msgspec.structs.replace(rows[place], **{name: data.draw(strategy)})
    same = name in ("before", "after") and _form(changed, name) == _form(rows[place], name)
    report = verify(links, [*rows[:place], changed, *rows[place + 1 :]])
    assert (report.faults == 0) == (same or changed == rows[place])


@given(entries(), st.data())
def test_no_other_set_or_order_of_links_goes_unseen(rows: list[Entry], data: st.DataObject) -> None:
    """Links are dropped, repeated or put elsewhere, numbered anew or not; the head is kept elsewhere."""
    links = list(extend(START, rows))
    chosen = data.draw(st.lists(st.sampled_from(links), max_size=len(links) + 1))
    if data.draw(st.booleans()):
        chosen = [Link(n, each.audit_id, each.digest, each.hash) for n, each in enumerate(chosen, 1)]
    report = verify(chosen, rows, Head(links[-1].position, links[-1].hash))
    assert (report.faults == 0) == (chosen == links)


@given(json_texts, st.randoms(use_true_random=False))
def test_the_form_knows_no_order_of_keys_and_no_spaces(text: str | None, chance: Any) -> None:
    if text is None:
        return
    value = json.loads(text)
    shuffled = list(value.items())
    chance.shuffle(shuffled)
    other = json.dumps(dict(shuffled), indent=chance.choice([None, 2]), ensure_ascii=chance.choice([True, False]))
    assert canonical_text(other) == canonical_text(text)
    assert json.loads(canonical_text(text)) == value


def _form(row: Entry, name: str) -> bytes:
    return canonical_text(getattr(row, name))
