"""GET /messages/{id}: an outcome for its owner, without content."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.db import connections
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from django_authmail.models import Attempt, Message, Recipient
from tests.api.conftest import CODE, TO, Api, MakeKey, problem
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db


def test_says_what_became_of_a_message(api: Api, smtp_server: SmtpServer) -> None:
    sent = api.post(X_Request_ID="call-1").json()
    response = api.get(f"/messages/{sent['id']}")
    assert response.status_code == 200
    body = response.json()
    times = {name: body.pop(name) for name in ("created_at", "accepted_at", "settled_at")}
    assert all(time.endswith("Z") for time in (*times.values(), body.pop("expires_at")))
    [attempt] = body.pop("attempts")
    assert (attempt["number"], attempt["result"], attempt["error_code"]) == (1, "accepted", None)
    [recipient] = body.pop("recipients")
    assert (recipient["recipient"], recipient["state"]) == ("h***@example.com", "accepted")
    assert recipient["smtp_code"] == 250
    assert body == {
        "id": sent["id"],
        "state": "accepted",
        "kind": "otp",
        "locale": "en",
        "message_id": sent["message_id"],
        "provider_id": sent["provider_id"],
        "error_code": None,
        "reason": None,
        "request_id": "call-1",
        "priority": "high",
        "metadata": {},
        "test": False,
        "retry_of": None,
        "webhooks": [],
    }
    for secret in (CODE, TO, "홍길동"):
        assert secret not in response.content.decode()


def test_says_why_a_recipient_was_refused(api: Api, smtp_server: SmtpServer) -> None:
    smtp_server.refuse[TO] = f"550 5.1.1 <{TO}> is no user here"
    answer = api.post().json()
    response = api.get(f"/messages/{answer['id']}")
    [recipient] = response.json()["recipients"]
    assert (recipient["error_code"], recipient["reason"]) == ("recipient_refused", "bad_recipient")
    assert (recipient["smtp_code"], recipient["enhanced_code"]) == (550, "5.1.1")
    assert "is no user here" in recipient["reply"]
    assert TO not in response.content.decode()


def test_a_key_sees_only_its_own_messages(api: Api, make_key: MakeKey) -> None:
    queued = api.post(Prefer="respond-async")
    other = Api(key=make_key()[1])
    mine = problem(other.get(queued["Location"]), 404, "not_found")
    nobody_s = problem(other.get(f"/messages/{uuid.uuid4()}"), 404, "not_found")
    assert mine["detail"] == nobody_s["detail"]


class Replica:
    """A router whose replica is so far behind that it has no tables."""

    def db_for_read(self, model: type, **hints: object) -> str | None:
        return "replica" if issubclass(model, Message | Recipient | Attempt) else None

    def db_for_write(self, model: type, **hints: object) -> str:
        return "default"


@pytest.fixture
def replica(settings: Settings) -> Iterator[None]:
    empty = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "OPTIONS": {}}
    connections.settings["replica"] = connections.settings["default"] | empty
    settings.DATABASE_ROUTERS = [f"{__name__}.Replica"]
    yield
    connections["replica"].close()
    del connections["replica"], connections.settings["replica"]


@pytest.mark.usefixtures("replica")
def test_a_replica_that_is_behind_is_not_asked(api: Api) -> None:
    location = api.post(Prefer="respond-async")["Location"]
    body = api.get(location).json()
    assert (body["state"], len(body["recipients"]), body["attempts"]) == ("queued", 1, [])


@pytest.mark.parametrize("path", ["/messages/7", "/messages/x", "/messages/' OR 1=1"])
def test_what_is_no_id_is_a_problem_too(api: Api, path: str) -> None:
    problem(api.get(path), 404, "not_found")


def test_reading_needs_its_scope(make_key: MakeKey) -> None:
    problem(
        Api(key=make_key(scopes=("send:otp",))[1]).get("/messages/x"), 403, "insufficient_scope"
    )


def test_does_not_read_the_body(
    api: Api, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    location = api.post(Prefer="respond-async")["Location"]
    with django_assert_max_num_queries(6) as queries:
        assert api.get(location).status_code == 200
    assert "sealed" not in " ".join(str(query["sql"]) for query in queries.captured_queries)
