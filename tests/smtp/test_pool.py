from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_authmail.message import Envelope
from django_authmail.outcomes import SendResult
from django_authmail.smtp import SmtpConfig, SmtpSender, dialogue, pool, pools
from django_authmail.smtp.errors import SmtpFailure
from django_authmail.smtp.pool import Pool
from django_authmail.smtp.pools import pool_for
from django_authmail.smtp.wire import Deadline
from tests.smtp.scripted import Hangup, Peer, Script, scripted

CONTENT = b"Subject: s\r\n\r\n.text\r\n"


def config_for(port: int, **changes: Any) -> SmtpConfig:
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "from_addr": "a@example.org",
        "use_tls": False,
        "timeout": 5.0,
    }
    return SmtpConfig(**values | changes)


def send(config: SmtpConfig, *to: str) -> SendResult:
    envelope = Envelope(sender="a@example.org", recipients=to or ("b@example.com",))
    return SmtpSender(config).deliver(envelope, CONTENT, "<1@example.org>")


def serve(*extensions: str, mails: int = 1000, answer: bytes = b"250 2.0.0 queued\r\n") -> Script:
    """Return a good server with these extensions, that hangs up after so many mails."""

    def script(peer: Peer) -> None:
        peer.say(b"220 hello\r\n")
        peer.read()
        lines = [b"250-" + name.encode() for name in ("hello", *extensions)]
        peer.say(b"\r\n".join([*lines, b"250 HELP", b""]))
        for _ in range(mails):
            while not (line := peer.read()).startswith(("DATA", "BDAT")):
                peer.say(b"250 2.1.0 ok\r\n")
            if line == "DATA":
                peer.say(b"354 go\r\n")
                peer.content()
            else:
                peer.octets(int(line.split()[1]))
            peer.say(answer)

    return script


PIPELINED = ("PIPELINING", "CHUNKING")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    pools.close_all()


def test_equal_configurations_share_a_connection() -> None:
    with scripted(serve()) as server:
        assert send(config_for(server.port))
        assert send(config_for(server.port))
        assert len(server.peers) == 1
        assert pool_for(config_for(server.port)) is pool_for(config_for(server.port))
        assert pool_for(config_for(server.port, timeout=4)) is not pool_for(config_for(server.port))


def test_one_write_carries_envelope_and_content() -> None:
    with scripted(serve(*PIPELINED)) as server:
        assert send(config_for(server.port))
        [peer] = server.peers
        assert peer.lines[1:] == [
            "MAIL FROM:<a@example.org>",
            "RCPT TO:<b@example.com>",
            f"BDAT {len(CONTENT)} LAST",
        ]
        # BDAT counts octets and doubles no dot.
        assert peer.contents == [CONTENT]


@pytest.mark.parametrize(
    ("extensions", "changes"),
    [
        (("PIPELINING",), {}),
        (PIPELINED, {"chunking": False}),
        (("CHUNKING",), {}),
        ((), {}),
    ],
)
def test_without_bdat_the_content_waits_for_the_354(
    extensions: tuple[str, ...], changes: dict[str, Any]
) -> None:
    with scripted(serve(*extensions)) as server:
        assert send(config_for(server.port, **changes))
        [peer] = server.peers
    assert "DATA" in peer.lines
    assert "..text" in peer.lines


def test_an_idle_connection_is_used_by_data_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(serve(*PIPELINED)) as server:
        config = config_for(server.port)
        assert send(config)
        monkeypatch.setattr(dialogue, "DOUBTFUL_AFTER", 0.0)
        assert send(config)
        monkeypatch.undo()
        assert send(config)
        [peer] = server.peers
    verbs = [line.split()[0] for line in peer.lines if line.startswith(("DATA", "BDAT"))]
    assert verbs == ["BDAT", "DATA", "BDAT"]


def test_a_server_that_refuses_bdat_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogue, "_without_bdat", set())

    def refuses(peer: Peer) -> None:
        peer.say(b"220 hello\r\n")
        peer.read()
        peer.say(b"250-hello\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
        peer.until(b"250 ok\r\n", "BDAT")
        peer.say(b"500 5.5.1 unknown command\r\n")
        peer.read()

    with scripted(refuses, serve(*PIPELINED)) as server:
        config = config_for(server.port)
        assert send(config)
        assert send(config)
        assert len(server.peers) == 2
        assert not [line for line in server.peers[1].lines if line.startswith("BDAT")]


def test_a_connection_that_the_server_has_ended_is_replaced_unnoticed() -> None:
    with scripted(serve(mails=1), serve()) as server:
        config = config_for(server.port)
        assert send(config)
        server.wait_until_closed(0)
        result = send(config)
        assert result
        assert result.attempts == 1
        assert len(server.peers) == 2


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), PIPELINED])
def test_a_421_on_a_warm_connection_is_tried_at_once_on_another(
    extensions: tuple[str, ...],
) -> None:
    def tires(peer: Peer) -> None:
        serve(*extensions, mails=1)(peer)
        peer.read()
        peer.say(b"421 4.3.2 too many messages on this connection\r\n")

    with scripted(tires, serve(*extensions)) as server:
        config = config_for(server.port)
        assert send(config)
        assert send(config)
        assert len(server.peers) == 2


def test_a_421_on_a_new_connection_is_said() -> None:
    def busy(peer: Peer) -> None:
        peer.say(b"220 hello\r\n")
        peer.read()
        peer.say(b"250 hello\r\n")
        peer.read()
        peer.say(b"421 4.3.2 shutting down\r\n")

    with scripted(busy) as server:
        result = send(config_for(server.port))
        assert (result.error_code, result.reason) == ("smtp_transient", "server_busy")
        assert len(server.peers) == 1


def test_a_connection_with_three_refusals_in_a_row_is_given_up() -> None:
    refusing = serve(answer=b"550 5.7.1 no\r\n")

    def refuse(peer: Peer) -> None:
        refusing(peer)

    with scripted(refuse) as server:
        config = config_for(server.port)
        for _ in range(4):
            assert not send(config)
        assert len(server.peers) == 2


def test_a_mail_too_large_for_the_server_is_not_sent() -> None:
    with scripted(serve("SIZE 10")) as server:
        result = send(config_for(server.port))
        assert (result.error_code, result.reason) == ("recipient_refused", "message_too_large")
        assert not [line for line in server.peers[0].lines if line.startswith("MAIL")]


def test_many_recipients_go_in_groups() -> None:
    with scripted(serve(*PIPELINED)) as server:
        result = send(config_for(server.port), *(f"u{n}@example.com" for n in range(1234)))
        assert len(result.accepted) == 1234


# -- the pool itself --------------------------------------------------------------------------


def test_lends_one_connection_to_one_borrower_and_waits_for_one_that_is_lent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "LONGEST_WAIT", 10.0)
    with scripted_threads(serve()) as port:
        kept = Pool(config_for(port, pool_size=2))
        deadline = Deadline(10)
        one, two = kept.borrow(deadline), kept.borrow(deadline)
        assert one is not two
        with ThreadPoolExecutor(1) as executor:
            waiting = executor.submit(kept.borrow, Deadline(10))
            kept.give_back(two)
            assert waiting.result(10) is two
        kept.discard(one)
        kept.discard(two)
        kept.close()


def test_opens_one_beyond_its_size_when_the_wait_is_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "LONGEST_WAIT", 0.05)
    with scripted_threads(serve()) as port:
        kept = Pool(config_for(port, pool_size=1))
        one = kept.borrow(Deadline(10))
        beyond = kept.borrow(Deadline(10))
        kept.give_back(beyond)
        assert not beyond.is_open
        kept.give_back(one)
        assert kept.borrow(Deadline(10)) is one
        kept.discard(one)


def test_keeps_a_connection_alive_while_it_is_warm_and_closes_it_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with scripted_threads(serve()) as port:
        kept = Pool(config_for(port, max_idle=0.000001))
        connection = kept.borrow(Deadline(10))
        kept.give_back(connection)
        before = connection.used_at
        kept.maintain()
        assert connection.used_at > before  # a NOOP was answered
        states = [(connection.is_open, kept.is_cold)]
        monkeypatch.setattr(pool, "WARM_FOR", 0.0)
        kept.maintain()
        states.append((connection.is_open, kept.is_cold))
        assert states == [(True, False), (False, True)]


def test_replaces_a_worn_connection_before_anybody_needs_it() -> None:
    with scripted_threads(serve()) as port:
        kept = Pool(config_for(port, max_age=0.000001))
        old = kept.borrow(Deadline(10))
        kept.give_back(old)
        kept.maintain()
        fresh = kept.borrow(Deadline(10))
        assert fresh is not old
        assert not old.is_open
        assert fresh.is_open
        kept.discard(fresh)


def test_a_mail_is_sent_while_its_connection_is_being_replaced() -> None:
    """The worn connection stays in use until the fresh one is ready."""
    opened = threading.Semaphore(1)
    opening, go_on = threading.Event(), threading.Event()

    def slow_second_time(peer: Peer) -> None:
        if not opened.acquire(blocking=False):
            opening.set()
            go_on.wait(10)
        serve()(peer)

    with scripted_threads(slow_second_time) as port:
        config = config_for(port, max_age=0.000001, pool_size=1)
        kept = pool_for(config)
        old = kept.borrow(Deadline(10))
        kept.give_back(old)
        keeper = threading.Thread(target=kept.maintain)
        keeper.start()
        assert opening.wait(10)
        borrowed = kept.borrow(Deadline(10))
        assert borrowed is old
        go_on.set()
        keeper.join(10)
        kept.give_back(borrowed)
        assert kept.borrow(Deadline(10)) is old
        kept.discard(old)


def test_a_connection_that_was_lent_meanwhile_is_left_alone_by_the_keeper() -> None:
    """Its borrower's answers are its borrower's, while the keeper is busy with another one."""
    opened = threading.Semaphore(2)
    opening, go_on = threading.Event(), threading.Event()

    def slow_third_time(peer: Peer) -> None:
        if not opened.acquire(blocking=False):
            opening.set()
            go_on.wait(10)
        serve()(peer)

    with scripted_threads(slow_third_time) as port:
        kept = Pool(config_for(port, max_age=0.000001, pool_size=2))
        for connection in [kept.borrow(Deadline(10)) for _ in range(2)]:
            kept.give_back(connection)
        keeper = threading.Thread(target=kept.maintain)
        keeper.start()
        assert opening.wait(10)  # it replaces the first; the second is to be next
        borrowed = kept.borrow(Deadline(10))
        wire = borrowed._wire
        wire.deadline = Deadline(10)
        wire.write(b"RSET\r\n")
        assert select.select([wire._sock], [], [], 10)[0]
        go_on.set()
        keeper.join(10)
        reply, _ = wire.read()
        assert reply.code == 250
        kept.discard(borrowed)
        kept.close()


def test_a_server_that_allows_no_more_connections_has_worn_ones_replaced_one_by_one() -> None:
    """The pool stays as large as the server allows, and nobody waits for a connection."""
    allowed = threading.Semaphore(2)
    refused = []

    def two_at_a_time(peer: Peer) -> None:
        if not allowed.acquire(blocking=False):
            refused.append(peer)
            peer.say(b"421 4.7.0 too many connections\r\n")
            return
        peer.say(b"220 hello\r\n")
        peer.until(b"250 ok\r\n", "QUIT")
        allowed.release()
        peer.say(b"221 bye\r\n")

    with scripted_threads(two_at_a_time) as port:
        kept = Pool(config_for(port, max_age=0.000001, pool_size=2))
        worn = [kept.borrow(Deadline(10)) for _ in range(2)]
        for connection in worn:
            kept.give_back(connection)
        kept.maintain()
        assert refused
        lent = [kept.borrow(Deadline(10)) for _ in range(2)]
        assert not set(worn) & set(lent)
        for connection in lent:
            kept.give_back(connection)
        assert all(connection.is_open for connection in lent)  # both have their place
        kept.close()


def test_whoever_is_refused_a_connection_beyond_the_pool_waits_for_one_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "LONGEST_WAIT", 0.01)
    allowed = threading.Semaphore(1)
    refused = threading.Event()

    def one_at_a_time(peer: Peer) -> None:
        if not allowed.acquire(blocking=False):
            peer.say(b"421 4.7.0 too many connections\r\n")
            refused.set()
            return
        serve()(peer)

    with scripted_threads(one_at_a_time) as port:
        config = config_for(port, pool_size=1)
        kept = pool_for(config)
        one = kept.borrow(Deadline(10))
        with ThreadPoolExecutor(1) as executor:
            waiting = executor.submit(send, config)
            assert refused.wait(10)
            kept.give_back(one)
            assert waiting.result(10)


def test_whoever_waits_in_vain_hears_what_the_server_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "LONGEST_WAIT", 0.01)
    allowed = threading.Semaphore(1)
    refused = threading.Event()

    def one_at_a_time(peer: Peer) -> None:
        if not allowed.acquire(blocking=False):
            peer.say(b"421 4.7.0 too many connections\r\n")
            refused.set()
            return
        serve()(peer)

    with scripted_threads(one_at_a_time) as port:
        kept = Pool(config_for(port, pool_size=1))
        one = kept.borrow(Deadline(10))
        with ThreadPoolExecutor(1) as executor:
            waiting = executor.submit(kept.borrow, Deadline(30))
            assert refused.wait(10)
            kept.close()  # ends the wait, as the deadline does
            with pytest.raises(SmtpFailure) as caught:
                waiting.result(10)
        assert caught.value.failure.reason == "server_busy"
        kept.give_back(one)


def test_a_mail_needs_no_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process at its limit of threads still sends."""
    start = threading.Thread.start

    def limited(self: threading.Thread) -> None:
        if self.name == "authmail-keeper":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with scripted_threads(serve()) as port:
        assert send(config_for(port))


def test_no_place_is_lost_to_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_threads(serve()) as port:
        config = config_for(port, pool_size=1)
        assert send(config)

        def interrupted(self: object, *args: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(dialogue.Connection, "transact", interrupted)
            with pytest.raises(KeyboardInterrupt):
                send(config)
        assert pool_for(config)._count == 0


def test_the_keeper_outlives_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = threading.Semaphore(0)

    def broken(self: object) -> None:
        calls.release()
        raise RuntimeError

    monkeypatch.setattr(pools, "KEEPER_INTERVAL", 0.01)
    with scripted_threads(serve()) as port, monkeypatch.context() as patched:
        patched.setattr(Pool, "maintain", broken)
        assert send(config_for(port))
        for _ in range(3):
            assert calls.acquire(timeout=10)
    assert "email.pool_keeper_error" in caplog.text


@pytest.mark.parametrize("reply", [b"421 4.3.2 bye\r\n", b"500 5.5.1 what\r\n"])
def test_a_connection_that_cannot_be_reset_is_replaced_before_anything_is_in_doubt(
    reply: bytes,
) -> None:
    def refuses_reset(peer: Peer) -> None:
        serve(*PIPELINED, mails=1, answer=b"550 5.7.1 no\r\n")(peer)
        assert peer.read() == "RSET"
        peer.say(reply)
        peer.read()

    with scripted(refuses_reset, serve(*PIPELINED)) as server:
        config = config_for(server.port)
        assert not send(config)
        assert send(config)
        assert len(server.peers) == 2
        assert len(server.peers[0].contents) == 1


@pytest.mark.parametrize("refused", ["MAIL", "RCPT"])
def test_a_refusal_is_never_in_doubt(refused: str) -> None:
    def refuse_and_hang_up(peer: Peer) -> None:
        peer.say(b"220 hello\r\n")
        peer.read()
        peer.say(b"250-hello\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
        while not (line := peer.read()).startswith("BDAT"):
            said = b"550 5.1.1 no\r\n" if line.startswith(refused) else b"250 ok\r\n"
            peer.say(said if refused == "RCPT" or line.startswith("MAIL") else b"503 no\r\n")

    with scripted(refuse_and_hang_up) as server:
        result = send(config_for(server.port))
    assert not result.unknown
    assert result.error_code == "recipient_refused"


def test_an_answer_about_an_address_is_none_to_the_content() -> None:
    def out_of_step(peer: Peer) -> None:
        peer.say(b"220 hello\r\n")
        peer.read()
        peer.say(b"250-hello\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
        while not (line := peer.read()).startswith("BDAT"):
            pass
        peer.octets(int(line.split()[1]))
        peer.say(b"250 2.1.0 ok\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n")
        peer.read()

    with scripted(out_of_step) as server:
        result = send(config_for(server.port))
    assert result.unknown


def test_closes_spare_connections_and_keeps_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_threads(serve()) as port:
        kept = Pool(config_for(port))
        connections = [kept.borrow(Deadline(10)) for _ in range(3)]
        for connection in connections:
            kept.give_back(connection)
        monkeypatch.setattr(pool, "SPARE_FOR", 0.0)
        for _ in range(4):
            kept.maintain()
        assert [c.is_open for c in connections].count(True) == 1
        kept.close()


def test_a_server_that_allows_fewer_connections_gets_fewer() -> None:
    open_now = threading.Semaphore(1)
    refused = threading.Event()

    def one_at_a_time(peer: Peer) -> None:
        if not open_now.acquire(blocking=False):
            refused.set()
            peer.say(b"421 4.3.2 too many connections\r\n")
            return
        try:
            serve()(peer)
        finally:
            open_now.release()

    with scripted_threads(one_at_a_time) as port:
        config = config_for(port)
        kept = pool_for(config)
        one = kept.borrow(Deadline(10))
        with ThreadPoolExecutor(1) as executor:
            # The second is refused, and waits for the first instead of failing.
            waiting = executor.submit(send, config)
            assert refused.wait(10)
            kept.give_back(one)
            assert waiting.result(10)


def test_threads_share_four_connections_and_each_mail_arrives_once() -> None:
    with scripted_threads(serve(*PIPELINED)) as port:
        config = config_for(port)

        def work(number: int) -> int:
            return sum(bool(send(config, f"u{number}-{count}@example.com")) for count in range(10))

        with ThreadPoolExecutor(16) as executor:
            assert sum(executor.map(work, range(16))) == 160
        pools.close_all()


def scripted_threads(script: Script) -> Any:
    """Serve every connection at once, each in a thread of its own."""
    import contextlib
    import socket

    @contextlib.contextmanager
    def running() -> Iterator[int]:
        listener = socket.create_server(("127.0.0.1", 0))
        peers: list[Peer] = []

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                peer = Peer(sock)
                peers.append(peer)
                threading.Thread(target=run, args=(peer,), daemon=True).start()

        def run(peer: Peer) -> None:
            with peer.sock, contextlib.suppress(Hangup, OSError):
                script(peer)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            pools.close_all()
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            for peer in peers:
                peer.sock.close()
            thread.join(10)

    return running()
