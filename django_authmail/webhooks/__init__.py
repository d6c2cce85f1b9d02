"""Webhooks: telling other services what became of messages."""

from __future__ import annotations
