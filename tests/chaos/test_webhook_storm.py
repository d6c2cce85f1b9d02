"""A storm while two receivers are told of every mail: each hears of each event, at least once."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from django_authmail.webhooks.places import PLACES
from tests.chaos import storm
from tests.chaos.processes import wait_until
from tests.chaos.storm import Scenario, Storm
from tests.chaos.test_storm import SEED
from tests.webhooks.receiver import Receiver, receiving

#: Mails; each is at least one event for each of two endpoints.
MAILS = 500
#: Share of the requests that a receiver answers by 500.
REFUSED = 0.05


class TellingStorm(Storm):
    """A storm with two endpoints, which are two hosts to the couriers."""

    def __init__(self, scenario: Scenario, folder: Path, seed: str) -> None:
        super().__init__(scenario, folder, seed)
        self.receivers: dict[str, Receiver] = {}
        self.recorded: list[dict[str, str]] = []
        self._receiving = ExitStack()

    def _start(self) -> None:
        super()._start()
        for host in ("127.0.0.1", "localhost"):
            receiver = self._receiving.enter_context(receiving())
            moody = random.Random(host)

            def refuse(receiver: Receiver = receiver, moody: random.Random = moody) -> None:
                if moody.random() < REFUSED:
                    receiver.statuses.append(500)

            receiver.before = refuse
            url = receiver.url.replace("127.0.0.1", host)
            self.receivers[self._submitter.ask("endpoint", url=url)] = receiver

    def _wait_until_nothing_is_open(self) -> None:
        super()._wait_until_nothing_is_open()
        wait_until(lambda: self.ask("open_webhooks") == 0, "all webhooks final")
        self.recorded = self.ask("webhooks")

    def close(self) -> None:
        self._receiving.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", storm.SCENARIOS)
def test_each_endpoint_hears_of_each_event(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\n{name}: AUTHMAIL_CHAOS_SEED={SEED}, evidence in {tmp_path}", flush=True)
    with storm.brewing(
        TellingStorm, storm.SCENARIOS[name], seed=SEED, evidence=tmp_path
    ) as running:
        try:
            verdict = running.rage(MAILS, 12)
        finally:
            running.close()
    assert verdict.missing == []
    recorded: list[dict[str, Any]] = running.recorded
    assert {row["state"] for row in recorded} == {"delivered"}
    assert len(recorded) >= 2 * MAILS
    report = []
    for endpoint, receiver in running.receivers.items():
        theirs = {row["id"]: row for row in recorded if row["endpoint"] == endpoint}
        assert receiver.ids.keys() == theirs.keys()
        # Of each mail it heard how that ended.
        ended = {row["message"] for row in theirs.values() if row["type"] != "email.deferred"}
        assert len(ended) >= MAILS
        bodies = {(each.id, each.body) for each in receiver.received}
        # A copy is a copy: the same id has the same content.
        assert len(bodies) == len(theirs)
        twice = sum(count > 1 for count in receiver.ids.values())
        report.append(f"{len(theirs)} events, {twice} of them more than once")
        assert receiver.most_at_once <= PLACES
    with capsys.disabled():
        print(
            f"{name}, seed {SEED}: kill -9 {running.kills}x; restarted: "
            f"{', '.join(f'{what} {n}x' for what, n in sorted(running.restarts.items()))}\n  "
            + "; ".join(report),
            flush=True,
        )
    assert running.kills >= 10
