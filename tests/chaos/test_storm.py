from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from tests.chaos import storm

#: The same storm again: AUTHMAIL_CHAOS_SEED is what a failed run has printed.
SEED = os.environ.get("AUTHMAIL_CHAOS_SEED") or uuid.uuid4().hex[:8]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", storm.SCENARIOS)
def test_nothing_is_lost_and_each_copy_has_a_reason(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\n{name}: AUTHMAIL_CHAOS_SEED={SEED}, evidence in {tmp_path}", flush=True)
    report = storm.run(storm.SCENARIOS[name], seed=SEED, evidence=tmp_path)
    with capsys.disabled():
        print(report, flush=True)
    verdict = report.verdict
    assert verdict.missing == []
    assert verdict.problems == []
    assert verdict.promised == 500
    assert set(verdict.states) <= {"accepted", "unknown"}
    assert report.kills >= 10
    assert set(verdict.duplicates) <= {"reply lost", "process died", "database away"}
    # The storm was one: connections that ended after the final dot made copies.
    assert verdict.duplicates["reply lost"] > 0
