from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import (
    IntegrityError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)

from django_authmail.clock import db_now
from django_authmail.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from django_authmail.outbox import queue
from django_authmail.outbox.intake import Intake
from django_authmail.sealing import seal
from django_authmail.webhooks import deliveries, endpoints, places, replaying, settlement
from django_authmail.webhooks.backoff import next_delay
from django_authmail.webhooks.deliveries import Claim
from django_authmail.webhooks.posting import Posted
from django_authmail.webhooks.settlement import End
from tests.conftest import LoseAnswer
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import accepted
from tests.webhooks import rows
from tests.webhooks.test_recording import CALLBACK

pytestmark = pytest.mark.django_db(transaction=True)

HOSTS = ("a.example.com", "b.example.com")


@pytest.fixture
def endpoint() -> WebhookEndpoint:
    return rows.endpoint()


def waiting(
    endpoint: WebhookEndpoint | None, count: int = 1, **changes: Any
) -> list[WebhookDelivery]:
    now = db_now("default")
    values: dict[str, Any] = {
        "endpoint": endpoint,
        "type": "email.accepted",
        "host": HOSTS[0],
        "sealed_payload": seal(b"{}"),
        "due_at": now,
        "created_at": now,
    }
    return WebhookDelivery.objects.bulk_create(
        WebhookDelivery(**values | changes) for _ in range(count)
    )


def posted(status: int | None = 204, reason: str = "ok", **changes: Any) -> Posted:
    values: dict[str, Any] = {"status": status, "reason": reason, "retry_after": None}
    return Posted(**values | {"duration_seconds": 0.0123} | changes)


BUSY = posted(503, "http_status")


def settle(claim: Claim, result: Posted) -> WebhookDelivery:
    settlement.settle_many([End(claim=claim, posted=result)])
    return WebhookDelivery.objects.get(pk=claim.id)


def claimed(count: int = 1) -> list[Claim]:
    return deliveries.claim_due(count)


def end_lease(*claims: Claim) -> None:
    past = db_now("default") - timedelta(seconds=1)
    WebhookDelivery.objects.filter(pk__in=[c.id for c in claims]).update(due_at=past)


def make_due() -> None:
    WebhookDelivery.objects.filter(due_at__isnull=False).update(due_at=db_now("default"))


# -- claims ---------------------------------------------------------------------------------


def test_of_one_host_no_more_are_claimed_than_it_has_places(endpoint: WebhookEndpoint) -> None:
    waiting(endpoint, 5)
    waiting(endpoint, 1, host=HOSTS[1])
    claims = claimed(8)
    assert sorted(claim.host for claim in claims) == [HOSTS[0], HOSTS[0], HOSTS[1]]
    assert claimed(8) == []
    settle(claims[0], posted())
    assert [claim.host for claim in claimed(8)] == [claims[0].host]


def test_many_for_a_busy_host_do_not_stand_in_the_way_of_others(
    endpoint: WebhookEndpoint,
) -> None:
    waiting(endpoint, 100)
    waiting(endpoint, 1, host=HOSTS[1], due_at=db_now("default"))
    assert sorted(claim.host for claim in claimed(4)) == [HOSTS[0], HOSTS[0], HOSTS[1]]


@pytest.mark.parametrize("limit", [1, 32])
def test_many_for_many_busy_receivers_do_not_stand_in_the_way_of_others(limit: int) -> None:
    busy = {f"{number}.example.com": rows.endpoint() for number in range(20)}
    for host, endpoint in busy.items():
        waiting(endpoint, places.PLACES, host=host)
    assert len(claimed(100)) == 20 * places.PLACES
    [other] = waiting(rows.endpoint(), host="other.example.com")
    now = db_now("default")
    # More than a look has rows, one receiver's after the other's.
    for number, (host, endpoint) in enumerate(busy.items()):
        due_at = now - timedelta(minutes=20 - number)
        waiting(endpoint, 330, host=host, due_at=due_at)
    assert [claim.id for claim in claimed(limit)] == [other.pk]


def test_endpoints_of_one_host_have_places_of_their_own_and_the_host_no_more_than_it_has(
    endpoint: WebhookEndpoint,
) -> None:
    waiting(endpoint, 5)
    others = [rows.endpoint() for _ in range(2 * places.HOST_PLACES)]
    for other in others:
        waiting(other, due_at=db_now("default"))
    claims = claimed(2 * places.HOST_PLACES)
    counts = Counter(claim.endpoint for claim in claims)
    assert counts[endpoint.pk] == places.PLACES
    assert counts.total() == places.HOST_PLACES
    assert claimed(8) == []
    settle(next(claim for claim in claims if claim.endpoint == others[0].pk), posted())
    # Not one of the first endpoint's: it has two under way.
    assert [claim.endpoint in {other.pk for other in others} for claim in claimed(8)] == [True]


def test_what_requests_name_of_one_host_is_one_receiver_beside_its_endpoints(
    endpoint: WebhookEndpoint,
) -> None:
    waiting(None, 5, sealed_target=b"only counted")
    waiting(endpoint, 5)
    chosen = places.choose(WebhookDelivery.objects.all(), limit=8, retries=8, using="default")
    picked = Counter(row.endpoint_id for rows in chosen.values() for row in rows)
    assert picked == {None: places.PLACES, endpoint.pk: places.PLACES}


def test_of_what_was_tried_before_no_more_is_claimed_than_is_wanted(
    endpoint: WebhookEndpoint,
) -> None:
    past = db_now("default") - timedelta(hours=1)
    for number in range(60):
        waiting(endpoint, host=f"{number}.example.com", due_at=past, attempt_count=1)
    [first] = waiting(endpoint)
    claims = deliveries.claim_due(4, retries=2)
    assert sorted(claim.attempt for claim in claims) == [1, 2, 2]
    assert first.pk in {claim.id for claim in claims}
    assert deliveries.claim_due(4, retries=0) == []
    assert len(deliveries.claim_due(4)) == 4


def test_the_longest_due_is_claimed_first(endpoint: WebhookEndpoint) -> None:
    now = db_now("default")
    [late] = waiting(endpoint, due_at=now - timedelta(seconds=1))
    [first] = waiting(endpoint, due_at=now - timedelta(hours=1))
    assert [claim.id for claim in claimed(1)] == [first.pk]
    assert [claim.id for claim in claimed(1)] == [late.pk]


def test_what_is_not_due_is_left_alone(endpoint: WebhookEndpoint) -> None:
    assert deliveries.seconds_until_due() is None
    waiting(endpoint, due_at=db_now("default") + timedelta(hours=1))
    assert claimed() == []
    assert 3590 < (deliveries.seconds_until_due() or 0) <= 3600


def test_a_dead_courier_s_delivery_is_claimed_again_with_the_same_id_and_place(
    endpoint: WebhookEndpoint,
) -> None:
    waiting(endpoint, 3)
    claims = claimed(3)
    assert len(claims) == 2
    end_lease(*claims)
    again = claimed(3)
    # Theirs are the places: no third one is under way.
    assert {c.webhook_id for c in again} == {c.webhook_id for c in claims}
    row = settle(claims[0], posted())
    assert row.state == "sending"
    assert not WebhookAttempt.objects.exists()


def test_an_attempt_whose_lease_ends_counts_and_the_last_one_ends_it(
    endpoint: WebhookEndpoint, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = (5, 300)
    [row] = waiting(endpoint)
    for attempt in (1, 2, 3):
        [claim] = claimed()
        assert claim.attempt == attempt
        end_lease(claim)
    assert claimed() == []
    row.refresh_from_db()
    assert (row.state, row.reason, row.attempt_count) == ("failed", "outcome_lost", 3)
    assert caplog.text.count(f"webhook.outcome_lost id={row.pk}") == 3
    assert f"webhook.failed id={row.pk}" in caplog.text
    # A person may want it all the same: what was posted is kept.
    assert replaying.replay(WebhookDelivery.objects.all()).again == 1
    [claim] = claimed()
    assert settle(claim, posted()).state == "delivered"
    assert [attempt.number for attempt in WebhookAttempt.objects.all()] == [4]


def test_an_outcome_after_one_that_was_lost_goes_on_with_the_schedule(
    endpoint: WebhookEndpoint, settings: Any
) -> None:
    settings.AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = (5, 300)
    waiting(endpoint)
    end_lease(*claimed())
    [claim] = claimed()
    row = settle(claim, BUSY)
    assert (row.state, row.attempt_count, row.round_count) == ("pending", 2, 2)
    assert row.due_at is not None
    assert (row.due_at - db_now("default")).total_seconds() > 290


def test_one_whose_last_outcome_is_lost_does_not_say_what_was_answered_before(
    endpoint: WebhookEndpoint, settings: Any
) -> None:
    settings.AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = (5,)
    waiting(endpoint)
    [claim] = claimed()
    assert settle(claim, BUSY).status_code == 503
    make_due()
    end_lease(*claimed())
    assert claimed() == []
    row = WebhookDelivery.objects.get()
    assert (row.reason, row.attempt_count, row.status_code) == ("outcome_lost", 2, None)


def test_what_was_not_tried_is_given_back_and_counts_for_nothing(
    endpoint: WebhookEndpoint,
) -> None:
    waiting(endpoint)
    [claim] = claimed()
    settlement.give_back([claim])
    row = WebhookDelivery.objects.get()
    assert (row.state, row.place, row.attempt_count) == ("pending", None, 0)
    # Not at once: what kept this one from trying it is still so.
    assert claimed() == []
    make_due()
    [again] = claimed()
    # Whoever had it before has no say any more.
    settlement.give_back([claim])
    assert settle(again, posted()).state == "delivered"


def test_one_whose_end_cannot_be_written_keeps_no_other_from_being_claimed(
    endpoint: WebhookEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    [row] = waiting(endpoint, sealed_payload=b"in clear")
    [other] = waiting(endpoint)
    # Its number is taken: somebody wrote to the table.
    now = db_now("default")
    WebhookAttempt.objects.create(delivery=row, number=1, started_at=now, duration_ms=1, reason="?")
    assert [claim.id for claim in claimed(5)] == [other.pk]
    assert f"webhook.not_recorded id={row.pk}" in caplog.text


def test_a_place_cannot_be_taken_twice(endpoint: WebhookEndpoint) -> None:
    waiting(endpoint, 2)
    [claim] = claimed(1)
    other = WebhookDelivery.objects.exclude(pk=claim.id)
    with pytest.raises(IntegrityError), transaction.atomic():
        other.update(state="sending", lease=claim.lease, place=0)


def test_couriers_at_the_same_time_share_what_is_due_and_keep_to_the_places(
    endpoint: WebhookEndpoint,
) -> None:
    for host in ("a", "b", "c", "d"):
        waiting(endpoint, 10, host=f"{host}.example.com")
    barrier = threading.Barrier(4)

    def work() -> list[Claim]:
        try:
            barrier.wait()
            return [claim for _ in range(5) for claim in claimed(3)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        found = [claim for each in [pool.submit(work) for _ in range(4)] for claim in each.result()]
    assert len({claim.id for claim in found}) == len(found) == 8
    by_host = [claim.host for claim in found]
    assert max(map(by_host.count, by_host)) == 2


def test_a_claim_whose_commit_was_done_though_its_answer_was_lost_is_had(
    endpoint: WebhookEndpoint, lose_answer: LoseAnswer
) -> None:
    waiting(endpoint, 3)
    lost = lose_answer()
    # Nobody else can have them until their leases end.
    assert len(claimed(5)) == 2
    assert lost
    assert WebhookDelivery.objects.filter(state="sending").count() == 2


# SQLite locks no rows: there is nothing to pass over.
if connection.vendor != "sqlite":

    def test_a_courier_does_not_wait_for_what_another_is_claiming(
        endpoint: WebhookEndpoint,
    ) -> None:
        [locked] = waiting(endpoint, due_at=db_now("default") - timedelta(hours=1))
        [other] = waiting(endpoint, host=HOSTS[1])

        def work() -> list[Claim]:
            try:
                return claimed(5)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1) as pool, transaction.atomic():
            WebhookDelivery.objects.select_for_update().get(pk=locked.pk)
            assert [claim.id for claim in pool.submit(work).result(10)] == [other.pk]


def test_what_goes_to_a_disabled_endpoint_fails_and_can_be_replayed(
    endpoint: WebhookEndpoint,
) -> None:
    [row] = waiting(endpoint)
    endpoints.disable(endpoint.pk)
    # By a transaction that had begun before.
    waiting(endpoint)
    assert claimed() == []
    found = set(WebhookDelivery.objects.values_list("state", "reason", "due_at"))
    assert found == {("failed", "endpoint_disabled", None)}
    WebhookDelivery.objects.exclude(pk=row.pk).delete()
    assert replaying.replay(WebhookDelivery.objects.all()).count == 0
    endpoints.enable(endpoint.pk)
    assert replaying.replay(WebhookDelivery.objects.all()).count == 1
    assert [claim.id for claim in claimed()] == [row.pk]


def test_what_no_key_opens_is_a_failed_attempt_and_goes_out_once_a_key_does(
    endpoint: WebhookEndpoint, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_SEALING_KEYS = ["o" * 32]
    row = queue.submit(auth_message(), intake=Intake(callback=CALLBACK))
    mail = queue.claim(row.id)
    assert mail is not None
    queue.settle(mail, accepted(mail), carrier="default")
    WebhookDelivery.objects.filter(endpoint__isnull=False).delete()
    [other] = waiting(endpoint, sealed_payload=b"in clear")
    # A process that was started with other keys.
    settings.AUTHMAIL_SEALING_KEYS = ["n" * 32]
    assert claimed(5) == []
    states = WebhookDelivery.objects.values_list("state", "reason", "attempt_count", "round_count")
    assert set(states) == {("pending", "seal_broken", 1, 1)}
    assert set(WebhookAttempt.objects.values_list("number", "reason")) == {(1, "seal_broken")}
    assert caplog.text.count("webhook.deferred") == 2
    assert not WebhookEndpoint.objects.filter(failing_since__isnull=False).exists()
    other.delete()
    settings.AUTHMAIL_SEALING_KEYS = ["o" * 32]
    make_due()
    [claim] = claimed()
    assert (claim.url, claim.attempt) == (CALLBACK.url, 2)


def test_what_no_key_ever_opens_fails_after_the_last_attempt_and_stops_no_other(
    endpoint: WebhookEndpoint, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = (60,)
    [row] = waiting(endpoint, sealed_payload=b"broken")
    [other] = waiting(endpoint)
    assert [claim.id for claim in claimed(5)] == [other.pk]
    make_due()
    claimed(5)
    row.refresh_from_db()
    assert (row.state, row.reason, row.attempt_count) == ("failed", "seal_broken", 2)
    assert f"webhook.failed id={row.pk}" in caplog.text


def test_a_broken_row_fails_and_stops_no_other(endpoint: WebhookEndpoint) -> None:
    broken = rows.endpoint()
    WebhookEndpoint.objects.filter(pk=broken.pk).update(sealed_secrets=seal(b"{}"))
    [row] = waiting(broken)
    [other] = waiting(endpoint)
    assert [claim.id for claim in claimed(5)] == [other.pk]
    row.refresh_from_db()
    assert (row.state, row.reason) == ("failed", "row_broken")


def test_a_delivery_whose_endpoint_is_gone_fails(endpoint: WebhookEndpoint) -> None:
    [row] = waiting(endpoint)
    WebhookEndpoint.objects.filter(pk=endpoint.pk)._raw_delete("default")
    assert claimed() == []
    assert WebhookDelivery.objects.get(pk=row.pk).state == "failed"


# -- settled --------------------------------------------------------------------------------


def test_a_success_is_recorded_with_its_attempt(
    endpoint: WebhookEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    waiting(endpoint)
    caplog.set_level("INFO", logger="django_authmail")
    [claim] = claimed()
    row = settle(claim, posted(200))
    assert (row.state, row.status_code, row.reason, row.due_at) == ("delivered", 200, "ok", None)
    assert row.sealed_payload is not None
    attempt = WebhookAttempt.objects.get()
    assert (attempt.number, attempt.status_code, attempt.duration_ms) == (1, 200, 12)
    named = f"id={row.pk} webhook_id=msg_{row.pk.hex}"
    assert f"webhook.delivered {named} type=email.accepted host={HOSTS[0]}" in caplog.text


def test_a_failure_is_tried_again_by_the_schedule_and_then_given_up(
    endpoint: WebhookEndpoint, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = (5, 300)
    waiting(endpoint)
    for number, wait in ((1, 5), (2, 300)):
        [claim] = claimed()
        assert claim.attempt == number
        row = settle(claim, BUSY)
        assert row.state == "pending"
        assert row.due_at is not None
        left = (row.due_at - db_now("default")).total_seconds()
        assert wait - 3 < left <= wait * 1.2
        make_due()
    [claim] = claimed()
    row = settle(claim, posted(None, "timeout"))
    assert (row.state, row.reason, row.attempt_count) == ("failed", "timeout", 3)
    assert WebhookAttempt.objects.count() == 3
    assert f"webhook.failed id={row.pk}" in caplog.text
    assert row.sealed_payload is not None


def test_an_end_that_cannot_be_written_keeps_no_other_from_being(
    endpoint: WebhookEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    waiting(endpoint, 2)
    first, second = claimed(2)
    # Its number is taken: somebody wrote to the table.
    now = db_now("default")
    WebhookAttempt.objects.create(
        delivery_id=first.id, number=1, started_at=now, duration_ms=1, reason="ok"
    )
    ends = [End(claim=claim, posted=posted()) for claim in (first, second)]
    assert settlement.settle_many(ends) == ["delivered"]
    states = dict(WebhookDelivery.objects.values_list("pk", "state"))
    assert states == {first.id: "sending", second.id: "delivered"}
    assert f"webhook.not_recorded id={first.id} webhook_id=" in caplog.text


@pytest.mark.parametrize(
    ("attempt", "retry_after", "jitter", "seconds"),
    [
        pytest.param(1, None, 0.0, 5, id="the schedule begins"),
        pytest.param(2, None, 0.0, 300, id="and goes on"),
        pytest.param(3, None, 0.0, None, id="and ends"),
        pytest.param(1, None, 1.0, 6, id="jitter makes it a fifth longer at most"),
        pytest.param(1, 60.0, 0.0, 60, id="a receiver may ask for longer"),
        pytest.param(2, 60.0, 0.0, 300, id="but not for sooner"),
        pytest.param(1, 1e9, 0.0, 43_200, id="and not for ever"),
        pytest.param(1, float("inf"), 0.0, 43_200, id="not even by a number that is none"),
    ],
)
def test_when_it_is_tried_again(
    attempt: int, retry_after: float | None, jitter: float, seconds: float | None
) -> None:
    delay = next_delay((5, 300), attempt=attempt, retry_after=retry_after, jitter=jitter)
    assert (None if delay is None else delay.total_seconds()) == seconds


def test_410_ends_it_and_disables_the_endpoint(
    endpoint: WebhookEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    waiting(endpoint)
    [claim] = claimed()
    assert settle(claim, posted(410, "http_status")).state == "failed"
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_reason) == (False, "gone")
    assert f"webhook.endpoint_disabled id={endpoint.pk} reason=gone" in caplog.text


def test_an_endpoint_that_fails_for_days_is_disabled_and_one_that_recovers_is_not(
    endpoint: WebhookEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    waiting(endpoint, 2)
    settle(claimed()[0], BUSY)
    assert WebhookEndpoint.objects.filter(failing_since__isnull=False).exists()
    WebhookEndpoint.objects.update(failing_since=db_now("default") - timedelta(days=4))
    settle(claimed()[0], BUSY)
    endpoint.refresh_from_db()
    assert endpoint.enabled
    make_due()
    settle(claimed()[0], posted())
    assert WebhookEndpoint.objects.filter(failing_since__isnull=True).exists()
    now = db_now("default")
    WebhookEndpoint.objects.update(failing_since=now - timedelta(days=5))
    WebhookAttempt.objects.filter(status_code=503).update(started_at=now - timedelta(days=2))
    settle(claimed()[0], BUSY)
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_reason) == (False, "failing")
    assert "reason=failing" in caplog.text


def test_an_endpoint_that_was_sent_nothing_for_days_is_not_disabled_by_its_next_failure(
    endpoint: WebhookEndpoint, settings: Any
) -> None:
    settings.AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = (60, 60)
    waiting(endpoint)
    settle(claimed()[0], BUSY)
    before = db_now("default") - timedelta(days=6)
    WebhookEndpoint.objects.update(failing_since=before)
    WebhookAttempt.objects.update(started_at=before)
    WebhookDelivery.objects.all().update(due_at=None, state="failed")
    # Nor by those that follow at once.
    waiting(endpoint)
    for _ in range(3):
        make_due()
        settle(claimed()[0], BUSY)
        assert WebhookEndpoint.objects.get().enabled


def test_a_request_s_own_leaves_nothing_behind() -> None:
    row = queue.submit(auth_message(), intake=Intake(callback=CALLBACK))
    mail = queue.claim(row.id)
    assert mail is not None
    queue.settle(mail, accepted(mail), carrier="default")
    [claim] = claimed()
    assert (claim.url, claim.secrets, claim.endpoint) == (CALLBACK.url, (CALLBACK.secret,), None)
    assert "CANARY" not in repr(claim)
    delivery = settle(claim, posted())
    assert (delivery.sealed_target, delivery.sealed_payload) == (None, None)
    # There is nothing to replay it with.
    assert replaying.replay(WebhookDelivery.objects.all()).count == 0


# -- replayed -------------------------------------------------------------------------------


def test_a_replay_has_the_same_id_and_the_whole_schedule_again(
    endpoint: WebhookEndpoint, settings: Any
) -> None:
    settings.AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = (5,)
    waiting(endpoint)
    ids = set()
    for _ in range(2):
        make_due()
        [claim] = claimed()
        ids.add(claim.webhook_id)
        settle(claim, BUSY)
    assert replaying.replay(WebhookDelivery.objects.filter(state="failed")).again == 1
    [claim] = claimed()
    assert {claim.webhook_id} == ids
    assert settle(claim, BUSY).state == "pending"
    assert [a.number for a in WebhookAttempt.objects.all()] == [1, 2, 3]


def test_what_is_under_way_is_not_replayed(endpoint: WebhookEndpoint) -> None:
    waiting(endpoint, 2)
    claimed(1)
    assert replaying.replay(WebhookDelivery.objects.all()).count == 0


def test_a_replay_makes_what_waits_for_a_later_attempt_due_now(
    endpoint: WebhookEndpoint, settings: Any
) -> None:
    settings.AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = (3600, 7200)
    waiting(endpoint)
    for number in (1, 2):
        [claim] = claimed()
        row = settle(claim, BUSY)
        assert (row.state, row.attempt_count, row.round_count) == ("pending", number, 1)
        assert claimed() == []
        done = replaying.replay(WebhookDelivery.objects.all())
        assert (done.again, done.sooner) == (0, 1)
    [claim] = claimed()
    assert settle(claim, posted()).state == "delivered"


def test_a_replay_makes_a_request_s_own_due_now_while_it_waits() -> None:
    row = queue.submit(auth_message(), intake=Intake(callback=CALLBACK))
    mail = queue.claim(row.id)
    assert mail is not None
    queue.settle(mail, accepted(mail), carrier="default")
    settle(claimed()[0], BUSY)
    assert claimed() == []
    assert replaying.replay(WebhookDelivery.objects.all()).sooner == 1
    assert [claim.url for claim in claimed()] == [CALLBACK.url]


def test_what_a_receiver_had_before_a_replay_stays_delivered_where_its_endpoint_is_disabled(
    endpoint: WebhookEndpoint,
) -> None:
    [had, missed] = waiting(endpoint, 2)
    for claim in claimed(2):
        settle(claim, posted() if claim.id == had.pk else posted(410, "http_status"))
    endpoints.enable(endpoint.pk)
    assert replaying.replay(WebhookDelivery.objects.all()).again == 2
    assert endpoints.disable(endpoint.pk) == 1
    states = dict(WebhookDelivery.objects.values_list("pk", "state"))
    assert states == {had.pk: "delivered", missed.pk: "failed"}


def test_what_is_erased_while_a_replay_begins_is_left_out(endpoint: WebhookEndpoint) -> None:
    waiting(endpoint, 2, due_at=None, state="failed", settled_at=db_now("default"))
    kept = WebhookDelivery.objects.first()
    assert kept is not None

    def erase() -> None:
        WebhookDelivery.objects.exclude(pk=kept.pk).update(sealed_payload=None)

    # The erasure's own statement is the second.
    with rows.meanwhile("UPDATE", erase):
        assert replaying.replay(WebhookDelivery.objects.all()).again == 1
    assert [claim.id for claim in claimed(5)] == [kept.pk]


def test_each_batch_of_a_replay_is_written_by_itself(
    endpoint: WebhookEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "_BATCH", 2)
    waiting(endpoint, 5, due_at=None, state="failed")
    with rows.meanwhile("UPDATE", rows.refuse, time=3), pytest.raises(ProgrammingError):
        replaying.replay(WebhookDelivery.objects.all())
    assert WebhookDelivery.objects.filter(state="pending").count() == 4


def test_a_line_about_what_was_not_sent_is_of_what_is_stored(
    endpoint: WebhookEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    waiting(endpoint)
    WebhookEndpoint.objects.update(enabled=False)
    with transaction.atomic():
        assert claimed() == []
        transaction.set_rollback(True)
    assert "webhook.failed" not in caplog.text


def test_what_returns_to_wait_is_counted_by_the_host_that_its_endpoint_has_then(
    endpoint: WebhookEndpoint, settings: Any
) -> None:
    settings.AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True
    [under_way] = waiting(endpoint)
    [final] = waiting(endpoint, due_at=None, state="failed")
    [claim] = claimed()
    endpoints.change(endpoint.pk, url="http://127.0.0.1:9000/hook")
    hosts = dict(WebhookDelivery.objects.values_list("pk", "host"))
    # Its place is that of the host that it is being sent to.
    assert hosts == {under_way.pk: HOSTS[0], final.pk: "127.0.0.1"}
    assert settle(claim, BUSY).host == "127.0.0.1"
    # Something else has broken the URL: what is under way is settled all the same.
    make_due()
    [claim] = claimed()
    WebhookEndpoint.objects.update(url="https://[broken/")
    assert settle(claim, BUSY).state == "pending"
