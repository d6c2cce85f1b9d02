"""Compares what was promised, what the mail server took, and what the rows say. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Excuses:
    """What was done to the workers: the only reasons for a copy beside a reply that was lost."""

    #: Names of the clients that were killed.
    killed: Collection[str] = ()
    #: Mails that a process may have in its hands at a time: taken, and not settled yet.
    in_hand: int = 1
    #: When the database was away for longer than workers wait for it: begin and end.
    long_outages: Collection[tuple[float, float]] = ()


@dataclass(slots=True, kw_only=True)
class Taking:
    """One mail that the server took responsibility for."""

    to: str
    message_id: str
    digest: str
    connection: str
    #: What the client said of itself in EHLO: process and host.
    client: str
    at: float
    #: The answer left the server.
    replied: bool = False
    #: The server was killed at this moment: before the answer left, or before it noted that.
    may_have_replied: bool = False
    #: How many more were taken from this client afterwards.
    followed_by: int = 0

    def why_again(self, excuses: Excuses) -> str:
        """Say by which proof the mail may have been sent again after this; empty: by none."""
        if not self.replied:
            return "reply lost"
        if self.client in excuses.killed and self.followed_by < excuses.in_hand:
            return "process died"
        was_away = any(began <= self.at <= ended for began, ended in excuses.long_outages)
        return "database away" if was_away else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came out of a storm."""

    promised: int
    #: Mails that the server took, each counted as often as it did.
    taken: int
    #: Recipients that were promised a mail which was never taken, and whose row does not say so.
    missing: list[str] = field(default_factory=list)
    #: Those whose row is `unknown`: two attempts were in doubt, and the policy allows no third.
    given_up: list[str] = field(default_factory=list)
    #: Takings beyond the first, by the proof that allows them.
    duplicates: Mapping[str, int] = field(default_factory=dict)
    #: States of rows to their number.
    states: Mapping[str, int] = field(default_factory=dict)
    #: Everything else that must not be.
    problems: list[str] = field(default_factory=list)


def takings(entries: Sequence[Entry]) -> dict[str, list[Taking]]:
    """Return what was taken for each recipient, in the order of the ledger."""
    found: dict[str, list[Taking]] = defaultdict(list)
    last: dict[str, Taking] = {}
    of_client: dict[str, list[Taking]] = defaultdict(list)
    before: Entry = {"event": ""}
    for entry in entries:
        if before["event"] == "taken" and entry["event"] == "started":
            last[before["connection"]].may_have_replied = True
        before = entry
        if entry["event"] == "taken":
            taking = Taking(
                to=entry["to"],
                message_id=entry["message_id"],
                digest=entry["digest"],
                connection=entry["connection"],
                client=entry["client"],
                at=entry["at"],
            )
            last[taking.connection] = taking
            found[taking.to].append(taking)
            for earlier in of_client[taking.client]:
                earlier.followed_by += 1
            of_client[taking.client].append(taking)
        elif entry["event"] == "replied":
            last[entry["connection"]].replied = True
    return dict(found)


def judge(
    entries: Sequence[Entry],
    *,
    promised: Mapping[str, str],
    excuses: Excuses,
    rows: Sequence[Mapping[str, Any]],
) -> Verdict:
    """Judge a storm of this package's own.

    `promised` maps the recipients of submits that returned to their Message-IDs.
    """
    taken = takings(entries)
    by_message_id = {row["message_id"]: row for row in rows}
    problems: list[str] = []
    missing: list[str] = []
    given_up: list[str] = []
    duplicates: dict[str, int] = defaultdict(int)
    states: dict[str, int] = defaultdict(int)
    for one in rows:
        states[one["state"]] += 1
        if one["has_body"] or "pending" in one["recipients"]:
            problems.append(f"{one['message_id']}: {one['state']}, but not all of it is over")
    for to, message_id in promised.items():
        if to in taken:
            continue
        row = by_message_id.get(message_id, {"state": "no row", "attempts": []})
        if row["state"] == "unknown" and row["attempts"].count("unknown") >= 2:
            given_up.append(to)
        else:
            missing.append(f"{to}: {row['state']}")
    for to, several in taken.items():
        problems += _compare(to, several, promised, by_message_id, excuses)
        for taking in several[:-1]:
            why = taking.why_again(excuses)
            duplicates[why or "no reason"] += 1
    return Verdict(
        promised=len(promised),
        taken=sum(map(len, taken.values())),
        missing=missing,
        given_up=given_up,
        duplicates=dict(duplicates),
        states=dict(states),
        problems=problems,
    )


def _compare(
    to: str,
    several: Sequence[Taking],
    promised: Mapping[str, str],
    rows: Mapping[str, Mapping[str, Any]],
    excuses: Excuses,
) -> list[str]:
    """Say what is wrong between the takings for one recipient and the row."""
    first = several[0]
    problems: list[str] = []
    if any((one.message_id, one.digest) != (first.message_id, first.digest) for one in several):
        problems.append("copies differ")
    if promised.get(to, first.message_id) != first.message_id:
        problems.append("taken with another Message-ID than was promised")
    row = rows.get(first.message_id)
    if row is None:
        return [f"{to}: {problem}" for problem in (*problems, "taken, and there is no row")]
    proofs = [one.why_again(excuses) for one in several]
    if not all(proofs[:-1]):
        problems.append("sent again without a reason")
    in_doubt = len(several)
    if row["state"] == "accepted":
        in_doubt -= 1
        if not any(one.replied or one.may_have_replied for one in several):
            problems.append("accepted, but no answer ever left")
    elif row["state"] != "unknown":
        problems.append(f"{row['state']}, but it was taken")
    elif not all(proofs):
        problems.append("unknown, but an answer arrived")
    if row["attempts"].count("unknown") < in_doubt:
        problems.append("a copy is not marked in the log")
    if row["resend_count"] < len(several) - 1:
        problems.append("a copy is not counted")
    return [f"{to}: {problem}; {len(several)} takings, {dict(row)}" for problem in problems]
