"""The verbs that change a message: the only code that writes its state.

                    submit_claimed
                 ┌──────────────────┐
    submit       │                  ▼
   ────────► queued ─── claim ──► sending ─┬─ settle ─► accepted
               │ ▲                 │ │ │   ├─ settle ─► partially_accepted
               │ │                 │ │ │   ├─ settle ─► failed
               │ ├─ postpone ──────┘ │ │   ├─ settle ─► unknown
               │ ├─ settle (later) ──┘ │   └─ drop ───► expired, failed
               │ │                     ▼
               │ └─── decide ──────── held ─┬─ decide ─► accepted, unknown
               │                            └─ (nobody decides in time) ─► unknown
               │
               ├─ submit of a newer one ─► superseded
               └─ claim, too late ───────► expired

A claim is a lease: a token, and an end in `due_at`. A row whose lease has ended is due again, and
whoever claims it then takes it over; the worker that lost it cannot settle. What such a row's
outcome was, nobody knows: the server may have taken the message. `OnUnknown` decides: it is sent
once more, or held until a person decides.

Final states are final: the sealed body is gone, and nothing claims the row again. A message that
may have been taken once ends as accepted or unknown, whatever is said of it later.
"""

from __future__ import annotations

from django_authmail.outbox.claims import claim, claim_due, take_due
from django_authmail.outbox.decisions import Decision, decide
from django_authmail.outbox.routes import leave_by, note, wake
from django_authmail.outbox.settlement import (
    Drop,
    End,
    Postponement,
    Settlement,
    as_if_settled,
    drop,
    postpone,
    settle,
    settle_many,
)
from django_authmail.outbox.submission import submit, submit_claimed, submit_many

__all__ = [
    "Decision",
    "Drop",
    "End",
    "Postponement",
    "Settlement",
    "as_if_settled",
    "claim",
    "claim_due",
    "decide",
    "drop",
    "leave_by",
    "note",
    "postpone",
    "settle",
    "settle_many",
    "submit",
    "submit_claimed",
    "submit_many",
    "take_due",
    "wake",
]
