from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.ledger import Excuses, Verdict, judge

TO = "user1.0@example.net"
ID = "<1@example.org>"


def taken(connection: str = "1.1", client: str = "7.a.example.org", **changes: Any) -> Any:
    return {
        "event": "taken",
        "at": 100.0,
        "to": TO,
        "connection": connection,
        "client": client,
        "message_id": ID,
        "digest": "d",
    } | changes


def replied(connection: str = "1.1") -> Any:
    return {"event": "replied", "at": 100.1, "connection": connection}


def row(state: str = "accepted", *attempts: str, **changes: Any) -> dict[str, Any]:
    return {
        "message_id": ID,
        "state": state,
        "resend_count": max(0, len(attempts) - 1),
        "has_body": False,
        "recipients": ["accepted"],
        "attempts": list(attempts or ("accepted",)),
    } | changes


def verdict(*entries: Any, rows: Any = (), **excuses: Any) -> Verdict:
    return judge(entries, promised={TO: ID}, excuses=Excuses(**excuses), rows=rows)


def test_a_mail_that_was_taken_once_and_is_accepted_is_in_order() -> None:
    found = verdict(taken(), replied(), rows=[row()])
    assert (found.missing, found.problems, found.duplicates) == ([], [], {})


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no row"),
        ([row()], "accepted"),
        ([row("failed", "failed")], "failed"),
        ([row("unknown", "unknown")], "unknown"),
    ],
    ids=["without a row", "called accepted", "called failed", "given up after one doubt"],
)
def test_a_mail_that_was_never_taken_is_missing(rows: list[Any], says: str) -> None:
    assert verdict(rows=rows).missing == [f"{TO}: {says}"]


def test_a_mail_that_was_in_doubt_twice_is_given_up_and_says_so() -> None:
    found = verdict(rows=[row("unknown", "unknown", "unknown")])
    assert (found.missing, found.given_up) == ([], [TO])


COPIES = {
    "the reply was lost": ([taken(), taken("1.2"), replied("1.2")], {}),
    "the process died with it in its hands": (
        [taken(), replied(), taken("1.2", "8.b.example.org"), replied("1.2")],
        {"killed": {"7.a.example.org"}},
    ),
    "the process died with several in its hands": (
        [taken(), replied(), taken(to="b@example.net"), replied(), taken("1.2"), replied("1.2")],
        {"killed": {"7.a.example.org"}, "in_hand": 3},
    ),
    "the database was away for long": (
        [taken(), replied(), taken("1.2", at=130.0), replied("1.2")],
        {"long_outages": [(95.0, 110.0)]},
    ),
}


@pytest.mark.parametrize(("entries", "excuses"), COPIES.values(), ids=COPIES)
def test_a_copy_with_a_proof_is_allowed_where_it_is_marked(entries: Any, excuses: Any) -> None:
    found = verdict(*entries, rows=[row("accepted", "unknown", "accepted")], **excuses)
    assert found.problems == []
    assert sum(found.duplicates.values()) == 1
    unmarked = verdict(*entries, rows=[row("accepted", "accepted")], **excuses)
    assert "not marked" in unmarked.problems[0]
    assert "not counted" in unmarked.problems[1]


@pytest.mark.parametrize(
    ("entries", "excuses"),
    [
        ([taken(), replied(), taken("1.2"), replied("1.2")], {}),
        (
            [taken(), replied(), taken(to="later@example.net"), replied(), taken("1.2")],
            {"killed": {"7.a.example.org"}},
        ),
        (
            [taken(), replied(), taken("1.2"), replied("1.2")],
            {"killed": {"8.b.example.org"}, "long_outages": [(101.0, 110.0)]},
        ),
    ],
    ids=["nothing happened", "the process died with a later one", "it happened to another"],
)
def test_a_copy_without_a_proof_is_a_problem(entries: Any, excuses: Any) -> None:
    found = verdict(*entries, rows=[row("accepted", "unknown", "accepted")], **excuses)
    assert any("sent again without a reason" in problem for problem in found.problems)
    assert found.duplicates == {"no reason": 1}


@pytest.mark.parametrize(
    ("entries", "changes", "problem"),
    [
        ([taken()], row(), "no answer ever left"),
        ([taken(), replied()], row("failed", "failed"), "failed, but it was taken"),
        ([taken(), replied()], row("unknown", "unknown"), "unknown, but an answer arrived"),
        ([taken(), replied()], row(has_body=True), "not all of it is over"),
        ([taken(), replied()], row(recipients=["pending"]), "not all of it is over"),
        ([taken(), taken("1.2", digest="e"), replied("1.2")], row(), "copies differ"),
        ([taken(message_id="<2@example.org>")], row(), "another Message-ID"),
        ([taken(message_id="<2@example.org>")], row(), "there is no row"),
    ],
)
def test_a_row_that_disagrees_with_the_ledger_is_a_problem(
    entries: Any, changes: Any, problem: str
) -> None:
    found = verdict(*entries, rows=[changes])
    assert any(problem in one for one in found.problems)


def test_a_server_that_was_killed_at_this_moment_may_have_replied_or_not() -> None:
    killed = [taken(), {"event": "started", "at": 101.0}]
    assert verdict(*killed, rows=[row()]).problems == []
    again = [*killed, taken("2.1"), replied("2.1")]
    assert verdict(*again, rows=[row("accepted", "unknown", "accepted")]).problems == []
    earlier = [taken(), taken("1.2", to="b@example.net"), {"event": "started", "at": 101.0}]
    assert "no answer ever left" in verdict(*earlier, rows=[row()]).problems[0]
