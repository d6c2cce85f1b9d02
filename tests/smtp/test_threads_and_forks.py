"""Connections are shared by the threads of a process, one borrower at a time, and by no two
processes.
"""

from __future__ import annotations

import collections
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_authmail.message import Envelope
from django_authmail.outcomes import SendResult
from django_authmail.smtp import SmtpConfig, SmtpSender, pool, pools
from example_project.certificates import ServerCertificate
from tests.smtp.ledger_server import ALL, NONE, WITHOUT_CHUNKING, LedgerServer, ledger_server

THREADS, MAILS, POOL = 16, 200, 4


@pytest.fixture(autouse=True)
def _cold(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # On a busy machine a second is short, and who waits longer opens a connection of its own.
    monkeypatch.setattr(pool, "LONGEST_WAIT", 40.0)
    pools.close_all()
    yield
    pools.close_all()


def config_for(server: LedgerServer, **changes: Any) -> SmtpConfig:
    values = {"pool_size": POOL, "local_hostname": "c.example.org", **server.options, **changes}
    return SmtpConfig(**values)


def deliver(sender: SmtpSender, name: str) -> SendResult:
    message_id = f"<{name}@example.org>"
    # Every mail has its own sender, recipient and length: whatever is mixed up shows.
    envelope = Envelope(sender=f"from-{name}@example.org", recipients=(f"to-{name}@example.com",))
    body = (name.encode() + b"\r\n.\r\n") * (1 + hash(name) % 40)
    content = b"Message-ID: " + message_id.encode() + b"\r\n\r\n" + body
    return sender.deliver(envelope, content, message_id)


def check(server: LedgerServer, names: list[str]) -> None:
    """Each mail is there once, whole, with its own envelope."""
    counted = collections.Counter(taken.message_id for taken in server.ledger)
    assert counted == {f"<{name}@example.org>": 1 for name in names}
    for taken in server.ledger:
        name = taken.message_id[1:].partition("@")[0]
        assert taken.sender == f"from-{name}@example.org"
        assert taken.recipients == (f"to-{name}@example.com",)
        body = taken.content.partition(b"\r\n\r\n")[2]
        assert body == (name.encode() + b"\r\n.\r\n") * (1 + hash(name) % 40)
    assert server.violations == []


@pytest.mark.parametrize(
    "extensions", [ALL, WITHOUT_CHUNKING, NONE], ids=["bdat", "pipelined", "sequential"]
)
def test_each_mail_of_many_threads_arrives_once(extensions: tuple[str, ...]) -> None:
    with ledger_server(extensions=extensions) as server:
        names = [f"t{thread}-{mail}" for thread in range(THREADS) for mail in range(MAILS)]
        start = threading.Barrier(THREADS)

        def run(thread: int) -> list[SendResult]:
            # A sender each, as `mailers[alias]` makes: the pool belongs to the configuration.
            sender = SmtpSender(config_for(server, max_mails=150))
            start.wait(10)
            return [deliver(sender, f"t{thread}-{mail}") for mail in range(MAILS)]

        with ThreadPoolExecutor(THREADS) as threads:
            results = [result for many in threads.map(run, range(THREADS)) for result in many]
        assert all(results)
        check(server, names)
        # The server may hear of the end of a worn one after the start of the next.
        assert server.most_open <= 2 * POOL
        pools.close_all()
        server.wait_until_idle()


def test_the_pool_is_as_large_as_it_was_told_to_be() -> None:
    with ledger_server() as server:
        # None is retired: the server may hear of the end of one after the start of the next.
        sender = SmtpSender(config_for(server, pool_size=2, max_mails=1000))
        with ThreadPoolExecutor(THREADS) as threads:
            assert all(threads.map(lambda n: deliver(sender, f"n{n}"), range(200)))
        assert server.most_open <= 2
        assert server.connections <= 2


def test_two_configurations_share_nothing() -> None:
    with ledger_server() as server:
        deliver(SmtpSender(config_for(server)), "one")
        deliver(SmtpSender(config_for(server)), "two")
        assert server.connections == 1
        deliver(SmtpSender(config_for(server, timeout=9.0)), "three")
        assert server.connections == 2


def test_threads_over_tls_with_a_login(certificate: ServerCertificate) -> None:
    with ledger_server(certificate=certificate, auth=True) as server:
        sender = SmtpSender(config_for(server))
        names = [f"s{number}" for number in range(400)]
        with ThreadPoolExecutor(THREADS) as threads:
            assert all(threads.map(lambda name: deliver(sender, name), names))
        check(server, names)
        assert server.most_open <= 2 * POOL


def test_a_server_that_hangs_up_all_the_time_loses_no_mail_of_many_threads() -> None:
    """Connections die between mails while sixteen threads send: told, or unknown, never twice."""
    with ledger_server(max_mails=7) as server:
        sender = SmtpSender(config_for(server))
        names = [f"h{number}" for number in range(800)]
        with ThreadPoolExecutor(THREADS) as threads:
            results = list(threads.map(lambda name: deliver(sender, name), names))
        for name, result in zip(names, results, strict=True):
            taken = server.taken(f"<{name}@example.org>")
            assert len(taken) == 1 if result.sent else len(taken) <= result.unknown, result
        assert sum(result.sent for result in results) >= len(names) * 0.9
        assert server.violations == []


def test_close_all_while_others_send() -> None:
    with ledger_server() as server:
        sender = SmtpSender(config_for(server))
        names = [f"c{number}" for number in range(300)]
        with ThreadPoolExecutor(THREADS) as threads:
            sending = [threads.submit(deliver, sender, name) for name in names]
            for _ in range(20):
                pools.close_all()
            assert all(future.result(30) for future in sending)
        check(server, names)
        pools.close_all()
        server.wait_until_idle()


_FORK = """
    import os, signal, sys

    # What hangs ends, in parent and child: nobody else would end the child of a hung parent.
    signal.alarm(50)
    os.register_at_fork(after_in_child=lambda: signal.alarm(30))

    from django_authmail import SmtpConfig, SmtpSender
    from django_authmail.message import Envelope
    from django_authmail.smtp import pools

    config = SmtpConfig(host="localhost", port={port}, from_addr="a@example.org",
                        use_tls={tls}, ca_file={ca_file!r}, local_hostname="c.example.org")

    def deliver(name):
        envelope = Envelope(sender="a@example.org", recipients=("b@example.com",))
        message_id = "<%s@example.org>" % name
        content = b"Message-ID: " + message_id.encode() + b"\\r\\n\\r\\n" + name.encode()
        return SmtpSender(config).deliver(envelope, content, message_id)

    def tell(what):
        os.write(1, (what + "\\n").encode())
"""

_SCRIPTS = {
    # As gunicorn --preload and Celery prefork: a warm parent, children that send, a parent that
    # goes on.
    "a warm parent": """
        assert deliver("parent-0")
        children = []
        for child in range(3):
            pid = os.fork()
            if not pid:
                status = 0 if all(deliver("child-%d-%d" % (child, n)) for n in range(5)) else 1
                pools.close_all()
                os._exit(status)
            children.append(pid)
            assert deliver("parent-%d" % (child + 1))
        for pid in children:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        # The children have ended, and closed what they had: the parent's is as warm as before.
        assert deliver("parent-4")
        tell("done")
    """,
    # The child ends as any program does, with its exit handlers: no QUIT on the parent's stream.
    "a child that exits": """
        assert deliver("parent-0")
        pid = os.fork()
        if not pid:
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        for number in range(1, 5):
            assert deliver("parent-%d" % number)
        tell("done")
    """,
    # Forked while other threads hold the locks of the pool.
    "threads in the parent": """
        import threading
        stop = threading.Event()
        sent = []
        def work(thread):
            number = 0
            while not stop.is_set():
                assert deliver("thread-%d-%d" % (thread, number))
                sent.append(number)
                number += 1
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for child in range(8):
            pid = os.fork()
            if not pid:
                os._exit(0 if deliver("child-%d" % child) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        stop.set()
        for thread in threads:
            thread.join(30)
        assert deliver("last")
        assert len(sent) > 8
        tell("done")
    """,
}


# Not with TLS where other threads are at work: OpenSSL's own locks, which a thread may hold at the
# moment of the fork, stay held in the child for ever. No library can do anything about it there.
@pytest.mark.parametrize(
    ("name", "tls"),
    [
        ("a warm parent", False),
        ("a warm parent", True),
        ("a child that exits", False),
        ("a child that exits", True),
        ("threads in the parent", False),
    ],
)
def test_parent_and_child_never_share_a_connection(
    name: str, tls: bool, certificate: ServerCertificate
) -> None:
    with ledger_server(certificate=certificate if tls else None) as server:
        head = _FORK.format(port=server.port, tls=tls, ca_file=str(certificate.ca_file))
        script = textwrap.dedent(head) + textwrap.dedent(_SCRIPTS[name])
        done = subprocess.run(
            # Python warns of a fork with threads; it is what this test is about.
            [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
        server.wait_until_idle()
        assert server.violations == []
        twice = collections.Counter(taken.message_id for taken in server.ledger)
        assert set(twice.values()) == {1}
        # Who uses a connection shows in the names of its mails.
        for number in range(1, server.connections + 1):
            users = {
                "-".join(taken.message_id[1:].partition("@")[0].split("-")[:2])
                if taken.message_id.startswith("<child")
                else "parent"
                for taken in server.ledger
                if taken.connection == number
            }
            assert len(users) <= 1, (number, users)
        if name != "threads in the parent":
            parents = {t.connection for t in server.ledger if t.message_id.startswith("<parent")}
            assert len(parents) == 1  # and it stayed usable
