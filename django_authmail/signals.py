"""Signals for latency and for extensions; correctness never depends on a receiver.

`message_queued`   after the commit that queued a message; arguments: `id` (UUID).
`message_changed`  after each commit that changed a state; arguments: `id` (UUID), `state` (str),
                   `kind` (str), `error_code` (str).

Neither carries an address, a subject or a body.
"""

from __future__ import annotations

from django.dispatch import Signal

message_queued = Signal()
message_changed = Signal()
