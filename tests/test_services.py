import socket
from collections.abc import Iterator

import pytest

from tests.services import require_program, require_service


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    with socket.socket() as bound:  # never listens: it refuses, and nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        monkeypatch.setenv("AUTHMAIL_TEST_REDIS_URL", f"redis://127.0.0.1:{port}/0")
        yield port


def test_skips_with_the_reason_where_a_service_is_missing(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTHMAIL_REQUIRE_SERVICES", raising=False)
    reason = f"redis does not answer on 127.0.0.1:{closed_port}"
    with pytest.raises(pytest.skip.Exception, match=reason):
        require_service("redis")


def test_fails_where_a_missing_service_was_promised(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHMAIL_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="redis does not answer"):
        require_service("redis")


def test_skips_with_the_reason_where_a_program_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTHMAIL_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        require_program("no-such-program", variable="AUTHMAIL_NO_SUCH_PROGRAM")
