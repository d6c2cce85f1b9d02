from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import ProgrammingError, connection, connections, transaction

from django_authmail.clock import db_now
from django_authmail.exceptions import (
    EndpointChanged,
    EndpointDisabled,
    RotatedTooOften,
    SealBroken,
    WebhookUrlRefused,
)
from django_authmail.models import WebhookDelivery, WebhookEndpoint
from django_authmail.secret import Secret
from django_authmail.webhooks import deliveries, endpoints
from tests.webhooks.receiver import Receiver
from tests.webhooks.rows import meanwhile, only, refuse, types

pytestmark = pytest.mark.django_db(transaction=True)

PARALLEL = 8
WAVES = 5


def secrets_of(row: WebhookEndpoint) -> tuple[str, ...]:
    return endpoints.secrets_of(WebhookEndpoint.objects.get(pk=row.pk), db_now("default"))


def test_an_endpoint_has_a_secret_that_is_shown_once(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="django_authmail")
    row, secret = endpoints.create(receiver.url, description="shop", owner="key:1")
    assert secret.startswith("whsec_")
    assert secrets_of(row) == (secret,)
    assert secret.encode() not in bytes(row.sealed_secrets)
    assert f"webhook.endpoint_created id={row.pk}" in caplog.text
    assert str(secret) not in caplog.text
    assert (row.enabled, row.event_types, str(row)) == (True, [], "shop")


def test_an_endpoint_must_be_one_that_webhooks_may_reach() -> None:
    for url in ("http://127.0.0.1/hook", "ftp://example.com/", "https://u:p@example.com/"):
        with pytest.raises(WebhookUrlRefused):
            endpoints.create(url)
    assert not WebhookEndpoint.objects.exists()


def test_an_endpoint_s_events_must_be_ones_that_there_are(receiver: Receiver) -> None:
    with pytest.raises(ValueError, match="no type of an event: email.opened; there are: email.acc"):
        endpoints.create(receiver.url, event_types=["email.opened"])
    row, _ = endpoints.create(receiver.url, event_types=["email.failed", "email.accepted"])
    assert row.event_types == ["email.accepted", "email.failed"]


def test_after_a_rotation_both_secrets_sign_until_the_overlap_ends(receiver: Receiver) -> None:
    row, first = endpoints.create(receiver.url)
    second = endpoints.rotate(row.pk, overlap=timedelta(hours=24))
    assert secrets_of(row) == (second, first)
    row.refresh_from_db()
    later = db_now("default") + timedelta(hours=25)
    assert endpoints.secrets_of(row, later) == (second,)
    # A later rotation gives no secret more time than it had.
    third = endpoints.rotate(row.pk, overlap=timedelta(days=7))
    row.refresh_from_db()
    assert endpoints.secrets_of(row, later) == (third, second)


def test_a_rotation_without_overlap_ends_the_secret_at_once(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    second = endpoints.rotate(row.pk, overlap=timedelta(0))
    assert secrets_of(row) == (second,)


def test_no_more_secrets_sign_at_a_time_than_a_header_has_room_for(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    for _ in range(endpoints.MOST_SECRETS - 1):
        endpoints.rotate(row.pk, overlap=timedelta(hours=24))
    before = secrets_of(row)
    assert len(before) == endpoints.MOST_SECRETS == 10
    with pytest.raises(RotatedTooOften, match=r"10 secrets sign .* no overlap.* UTC") as caught:
        endpoints.rotate(row.pk, overlap=timedelta(hours=24))
    # None of them was promised less than it gets.
    assert secrets_of(row) == before
    now = db_now("default")
    assert timedelta(hours=23) < caught.value.until - now <= timedelta(hours=24)
    row.refresh_from_db()
    assert len(endpoints.secrets_of(row, caught.value.until)) < endpoints.MOST_SECRETS
    # After a leak there is always a way.
    last = endpoints.rotate(row.pk, overlap=timedelta(0))
    assert secrets_of(row) == (last,)


def test_an_overlap_has_an_end(receiver: Receiver) -> None:
    row, first = endpoints.create(receiver.url)
    for overlap in (timedelta(seconds=-1), endpoints.MOST_OVERLAP + timedelta(seconds=1)):
        with pytest.raises(ValueError, match="from 0 to 720 hours"):
            endpoints.rotate(row.pk, overlap=overlap)
    assert secrets_of(row) == (first,)


def test_what_was_rotated_since_it_was_seen_is_not_rotated(receiver: Receiver) -> None:
    row, first = endpoints.create(receiver.url)
    seen = bytes(row.sealed_secrets)
    second = endpoints.rotate(row.pk, overlap=timedelta(hours=1), seen=seen)
    with pytest.raises(EndpointChanged):
        endpoints.rotate(row.pk, overlap=timedelta(0), seen=seen)
    assert secrets_of(row) == (second, first)


def test_of_those_who_rotate_what_they_saw_at_the_same_time_one_does(receiver: Receiver) -> None:
    row, first = endpoints.create(receiver.url)
    secrets = [first]
    barrier = threading.Barrier(PARALLEL)

    def rotate(seen: bytes) -> Secret | None:
        try:
            barrier.wait(60)
            return endpoints.rotate(row.pk, overlap=timedelta(hours=1), seen=seen)
        except EndpointChanged:
            return None
        finally:
            connections.close_all()

    for _ in range(WAVES):
        row.refresh_from_db()
        with ThreadPoolExecutor(PARALLEL) as pool:
            made = list(pool.map(rotate, [bytes(row.sealed_secrets)] * PARALLEL))
        [secret] = filter(None, made)
        secrets.insert(0, secret)
        assert secrets_of(row) == tuple(secrets)


def test_secrets_of_another_endpoint_do_not_open(receiver: Receiver) -> None:
    one, _ = endpoints.create(receiver.url)
    other, _ = endpoints.create(receiver.url)
    WebhookEndpoint.objects.filter(pk=one.pk).update(sealed_secrets=other.sealed_secrets)
    with pytest.raises(SealBroken):
        secrets_of(one)


def test_what_waits_goes_to_a_changed_url(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    endpoints.send_test(row.pk)
    endpoints.change(row.pk, url=receiver.url.replace("127.0.0.1", "localhost"), description="new")
    [claim] = deliveries.claim_due(1)
    assert (claim.host, "localhost" in claim.url) == ("localhost", True)
    assert WebhookEndpoint.objects.get().description == "new"


def test_a_change_leaves_alone_what_others_change_meanwhile(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)

    def theirs() -> None:
        WebhookEndpoint.objects.update(description="theirs", owner="key:1")

    with meanwhile("UPDATE", theirs):
        changed = endpoints.change(row.pk, event_types=["email.failed"])
    stored = WebhookEndpoint.objects.get()
    for each in (changed, stored):
        assert (each.event_types, each.description) == (["email.failed"], "theirs")
        assert (each.url, each.owner) == (receiver.url, "key:1")


def test_changes_at_the_same_time_are_all_kept(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    wanted: dict[str, Any] = {
        "url": f"{receiver.url}/2",
        "description": "till",
        "event_types": ["email.held"],
        "owner": "key:1",
    }
    barrier = threading.Barrier(len(wanted))

    def work(name: str) -> None:
        try:
            barrier.wait()
            endpoints.change(row.pk, **{name: wanted[name]})
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(wanted)) as pool:
        list(pool.map(work, wanted))
    row.refresh_from_db()
    assert {name: getattr(row, name) for name in wanted} == wanted


def test_what_is_not_any_more_as_it_was_seen_is_not_changed(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    row, _ = endpoints.create(receiver.url, description="shop")
    seen = {"description": "shop", "event_types": []}
    endpoints.change(row.pk, owner="key:1")
    # Another's change of what this one leaves alone is no reason.
    endpoints.change(row.pk, seen=seen, description="till")
    with pytest.raises(EndpointChanged, match="description was changed meanwhile") as caught:
        endpoints.change(row.pk, seen=seen, description="kiosk", event_types=["email.held"])
    assert caught.value.fields == ("description",)
    row.refresh_from_db()
    assert (row.description, row.event_types) == ("till", [])
    # Who wants what it is already has lost nothing, and changes nothing.
    caplog.set_level("INFO", logger="django_authmail")
    endpoints.change(row.pk, seen=seen, description="till")
    assert "webhook.endpoint_changed" not in caplog.text


def test_a_test_is_an_event_about_nothing(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url, event_types=["email.failed"])
    delivery = endpoints.send_test(row.pk)
    assert types() == ["webhook.test"]
    assert delivery.message is None
    body = only()
    assert (body["type"], body["data"]) == ("webhook.test", {"endpoint": str(row.pk)})


def test_a_disabled_endpoint_is_not_tested(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    assert endpoints.disable(row.pk) == 0
    assert endpoints.disable(row.pk) is None
    with pytest.raises(EndpointDisabled, match="enable it first"):
        endpoints.send_test(row.pk)
    endpoints.enable(row.pk)
    row.refresh_from_db()
    assert (row.enabled, row.disabled_at) == (True, None)
    endpoints.send_test(row.pk)


def test_a_deleted_endpoint_takes_its_deliveries_along(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    endpoints.send_test(row.pk)
    endpoints.delete(row.pk)
    assert not WebhookEndpoint.objects.exists()
    assert not WebhookDelivery.objects.exists()


def test_an_endpoint_s_deliveries_are_deleted_in_batches(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "_BATCH", 2)
    row, _ = endpoints.create(receiver.url)
    for _ in range(5):
        endpoints.send_test(row.pk)
    table = f"DELETE FROM {connection.ops.quote_name(WebhookDelivery._meta.db_table)}"
    with meanwhile(table, refuse, time=3), pytest.raises(ProgrammingError):
        endpoints.delete(row.pk)
    assert WebhookDelivery.objects.count() == 1
    endpoints.delete(row.pk)
    assert not WebhookEndpoint.objects.exists()
    assert not WebhookDelivery.objects.exists()


def test_what_is_rolled_back_is_not_logged(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="django_authmail")
    row, _ = endpoints.create(receiver.url)
    caplog.clear()
    with transaction.atomic():
        endpoints.create(receiver.url)
        endpoints.change(row.pk, description="new")
        endpoints.rotate(row.pk, overlap=timedelta(0))
        endpoints.disable(row.pk, reason=endpoints.GONE)
        endpoints.enable(row.pk)
        endpoints.delete(row.pk)
        transaction.set_rollback(True)
    assert "webhook." not in caplog.text
    assert WebhookEndpoint.objects.get().enabled
