"""Signals for latency and for extensions; correctness never depends on a receiver.

`message_queued`   after the commit that queued a message; arguments: `id` (UUID), `priority`
                   (int), of which the lowest goes first, and `request_id` and `traceparent` (str)
                   of the request that queued it, empty without one.
`message_changed`  after each commit that changed a state; arguments: `id` (UUID), `state` (str),
                   `kind` (str), `error_code` (str), `accepted_after` (float): seconds from the
                   request to the server's answer, once it took the mail, else None; and
                   `is_test` (bool): nothing of it was or will be handed to a server.
`webhook_queued`   after the commit that recorded webhooks to be sent; arguments: `request_id` and
                   `traceparent` (str) of the request that caused the first of them.

None carries an address, a subject or a body.
"""

from __future__ import annotations

from django.dispatch import Signal

message_queued = Signal()
message_changed = Signal()
webhook_queued = Signal()
