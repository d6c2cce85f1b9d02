"""The durable queue of messages: nothing lost, nothing late, no secret left behind.

`submit` records a message for sending in the background, `submit_many` many of them. The life of a
message, and the verbs that change it, are in `outbox.queue`.
"""

from __future__ import annotations

from django_authmail.outbox.queue import submit, submit_many

__all__ = ["submit", "submit_many"]
