"""No webhook reaches this machine or its network: for each way to try, no connection is made."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpcore2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from django_authmail.exceptions import WebhookUrlRefused
from django_authmail.webhooks import targets
from django_authmail.webhooks.posting import post
from tests.webhooks.hostile import ADDRESSES, HOSTS, NAMES, URLS
from tests.webhooks.internet import OTHER_PUBLIC, PUBLIC, PUBLIC_V6, Internet, small_internet
from tests.webhooks.scripted import Receiver, listening

NOWHERE = "leads to no address on the internet"


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    return small_internet(monkeypatch)


@pytest.fixture
def listener() -> Iterator[Receiver]:
    """What listens on this machine and must not be reached."""
    with listening() as receiver:
        yield receiver


@pytest.fixture
def _any_form(settings: Settings, listener: Receiver) -> None:
    """Take http and the listener's port, so that nothing but its address keeps a target out."""
    settings.AUTHMAIL_WEBHOOK_ALLOW_HTTP = True
    settings.AUTHMAIL_WEBHOOK_PORTS = (listener.port,)


def attempt(url: str) -> str:
    posted = post(url, b"{}", {}, seconds=5)
    assert posted.status is None
    return posted.reason


def refusal(url: str) -> str:
    with pytest.raises(WebhookUrlRefused) as error:
        targets.check(url)
    assert error.value.code == "webhook_url_refused"
    return error.value.problem


def test_there_are_more_than_sixty_of_them() -> None:
    assert len({*ADDRESSES, *HOSTS, *URLS, *NAMES}) > 120


@pytest.mark.usefixtures("_any_form")
class TestHostile:
    @pytest.fixture(autouse=True)
    def _nobody_connects(self, internet: Internet, listener: Receiver) -> Iterator[None]:
        yield
        assert internet.connects == []
        assert listener.connections == 0

    @pytest.mark.parametrize("address", ADDRESSES)
    def test_an_address_of_no_public_host(self, listener: Receiver, address: str) -> None:
        url = f"http://{address}:{listener.port}/"
        assert refusal(url) == NOWHERE
        assert attempt(url) == "target_refused"

    @pytest.mark.parametrize("host", HOSTS)
    def test_a_host_that_is_written_to_deceive(
        self, internet: Internet, listener: Receiver, host: str
    ) -> None:
        url = f"http://{host}:{listener.port}/"
        refusal(url)
        assert attempt(url) == "target_refused"
        # A resolver may read as an address what is none.
        assert internet.lookups == []

    @pytest.mark.parametrize("form", URLS)
    def test_a_url_that_is_written_to_deceive(
        self, internet: Internet, listener: Receiver, form: str
    ) -> None:
        url = form.replace("{host}", f"127.0.0.1:{listener.port}")
        refusal(url)
        assert attempt(url) == "target_refused"
        assert internet.lookups == []

    @pytest.mark.parametrize("name", NAMES)
    def test_a_name_that_leads_inside(
        self, internet: Internet, listener: Receiver, name: str
    ) -> None:
        internet.answers[name] = [NAMES[name]]
        url = f"http://{name}:{listener.port}/"
        assert refusal(url) == NOWHERE
        assert attempt(url) == "target_refused"

    def test_a_name_that_leads_inside_since_it_was_accepted(
        self, internet: Internet, listener: Receiver
    ) -> None:
        internet.answers["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
        url = f"http://rebinding.example:{listener.port}/"
        targets.check(url)
        assert attempt(url) == "target_refused"

    def test_a_name_of_the_network_cannot_be_told_from_none(
        self, internet: Internet, listener: Receiver
    ) -> None:
        internet.answers["vault.internal"] = [["10.0.0.7"]]
        internet.answers["empty.internal"] = [[]]
        problems = {
            refusal(f"http://{name}:{listener.port}/")
            for name in ("vault.internal", "empty.internal", "nothing.internal")
        }
        assert problems == {NOWHERE}


@pytest.mark.usefixtures("_any_form")
def test_a_name_that_changes_between_check_and_connect(
    internet: Internet, listener: Receiver
) -> None:
    internet.answers["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
    with listening() as public:
        internet.routes[PUBLIC] = public.port
        posted = post(f"http://rebinding.example:{listener.port}/", b"{}", {}, seconds=5)
    assert posted.reason == "ok"
    assert internet.connects == [PUBLIC]
    assert internet.lookups == ["rebinding.example"]
    assert (public.connections, listener.connections) == (1, 0)


@pytest.mark.usefixtures("_any_form")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["http://127.0.0.1:{port}/", "file:///etc/passwd", "//[::1]/"])
def test_a_redirect_is_not_followed(
    internet: Internet, listener: Receiver, status: int, scheme: str
) -> None:
    internet.answers["hooks.example.com"] = [[PUBLIC]]
    location = scheme.format(port=listener.port)
    with listening() as public:
        internet.routes[PUBLIC] = public.port
        public.answers(f"HTTP/1.1 {status} X\r\nLocation: {location}\r\n\r\n".encode())
        posted = post("http://hooks.example.com/", b"{}", {}, seconds=5)
    assert (posted.status, posted.reason) == (status, "redirect")
    assert internet.connects == [PUBLIC]
    assert listener.connections == 0


@pytest.mark.usefixtures("_any_form")
def test_no_proxy_of_the_environment_is_asked(
    internet: Internet, listener: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, listener.url)
    internet.answers["hooks.example.com"] = [[PUBLIC]]
    with listening() as public:
        internet.routes[PUBLIC] = public.port
        assert post("http://hooks.example.com/", b"{}", {}, seconds=5).reason == "ok"
    assert listener.connections == 0


def test_each_address_is_tried_until_one_answers(internet: Internet, settings: Settings) -> None:
    settings.AUTHMAIL_WEBHOOK_ALLOW_HTTP = True
    internet.answers["hooks.example.com"] = [[PUBLIC_V6, PUBLIC, OTHER_PUBLIC]]
    with listening() as public:
        internet.routes[OTHER_PUBLIC] = public.port
        posted = post("http://hooks.example.com/", b"{}", {}, seconds=5)
    assert posted.reason == "ok"
    assert internet.connects == [PUBLIC_V6, PUBLIC, OTHER_PUBLIC]


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("HTTPS://Hooks.Example.COM:443/A?b=%20c&d", "https://hooks.example.com/A?b=%20c&d"),
        ("https://hooks.example.com:8443/a;b=c/@d", "https://hooks.example.com:8443/a;b=c/@d"),
        ("https://예시.example/길?이름=값", None),
        ("https://my_service.example/", "https://my_service.example/"),
        ("https://[2606:2800:220:1:0:0:0:1]:8443/x", "https://[2606:2800:220:1::1]:8443/x"),
        (f"https://{PUBLIC}/", f"https://{PUBLIC}/"),
    ],
)
def test_a_url_that_is_taken(internet: Internet, url: str, written: str | None) -> None:
    target = targets.check_url(url)
    if written is None:
        korean = "%EA%B8%B8?%EC%9D%B4%EB%A6%84=%EA%B0%92"
        written = f"https://xn--vv4b11d.example/{korean}"
    assert target.url == written
    assert target.url not in repr(target)
    assert internet.lookups == []


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://hooks.example.com/", "must begin with https://: what it says would cross the net"),
        ("https://hooks.example.com:22/", "has a port that is none of 80, 443, 8443"),
        ("https://a:b@hooks.example.com/", "must have no user and no password"),
        ("https://hooks.example.com/#x", "has a character that no URL has, or a fragment"),
        ("ftp://hooks.example.com/", "must begin with https://"),
        ("https://hooks.example.com./", "needs the name of a host"),
        ("https://x.example/" + "a" * 2031, "must have from 1 to 2048 characters"),
    ],
)
def test_a_refusal_says_what_to_change(url: str, problem: str) -> None:
    with pytest.raises(WebhookUrlRefused) as error:
        targets.check_url(url)
    assert error.value.problem.startswith(problem)
    assert str(error.value).startswith("the webhook's URL ")


def test_ports_of_the_project_s_own(settings: Settings) -> None:
    settings.AUTHMAIL_WEBHOOK_PORTS = [9443]
    assert targets.check_url("https://hooks.example.com:9443/").port == 9443
    assert (
        refusal("https://hooks.example.com:22/") == "has a port that is none of 80, 443, 8443, 9443"
    )


class TestOwnHosts:
    """AUTHMAIL_WEBHOOK_ALLOW_HOSTS."""

    @pytest.fixture(autouse=True)
    def _own_hosts(self, settings: Settings) -> None:
        settings.AUTHMAIL_WEBHOOK_ALLOW_HOSTS = ["Receiver", "예시.example", "[::1]", "10.0.0.9"]

    @pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "100.64.0.1", "fd00::1", PUBLIC])
    def test_http_any_port_and_private_addresses(self, internet: Internet, address: str) -> None:
        internet.answers["receiver"] = [[address]]
        target = targets.check("http://receiver:9000/hook")
        assert targets.resolve(target, seconds=5) == [address]

    @pytest.mark.parametrize(
        "url", ["http://예시.EXAMPLE:1/", "http://[0::1]:8/", "http://10.0.0.9/"]
    )
    def test_a_host_is_known_however_it_is_written(self, url: str) -> None:
        assert targets.check_url(url).is_named

    @pytest.mark.parametrize(
        "url", ["http://receiver.example/", "http://10.0.0.8/", "http://[::2]/"]
    )
    def test_no_other_host(self, internet: Internet, url: str) -> None:
        internet.answers["receiver.example"] = [["10.0.0.7"]]
        refusal(url)

    @pytest.mark.parametrize(
        "address",
        [
            *("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"),
            *("fd20:ce::254", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1"),
        ],
    )
    def test_not_what_is_nobody_s_service(self, internet: Internet, address: str) -> None:
        internet.answers["receiver"] = [[address]]
        assert refusal("http://receiver/") == NOWHERE


class TestLoopback:
    """AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK."""

    @pytest.fixture(autouse=True)
    def _loopback(self, settings: Settings) -> None:
        settings.AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://[::1]:9/", "https://10.0.0.7/"])
    def test_this_machine_by_http_on_any_port(self, url: str) -> None:
        targets.check(url)

    @pytest.mark.parametrize("url", [f"http://{PUBLIC}/", f"https://{PUBLIC}:9/"])
    def test_no_public_host_by_http_or_on_any_port(self, url: str) -> None:
        assert refusal(url) == NOWHERE

    def test_no_name_of_a_public_host_either(self, internet: Internet) -> None:
        internet.answers["both.example"] = [["127.0.0.1", PUBLIC]]
        assert refusal("http://both.example:9/") == NOWHERE

    def test_never_the_metadata_of_a_cloud(self) -> None:
        assert refusal("http://169.254.169.254/latest/meta-data/") == NOWHERE


class TestLookup:
    def test_a_silent_resolver_costs_a_caller_no_more_than_is_said(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        over = threading.Event()

        def hang(*args: object, **kwargs: object) -> list[object]:
            over.wait()
            return []

        monkeypatch.setattr("socket.getaddrinfo", hang)
        target = targets.check("https://hooks.example.com/", seconds=0.05)
        with pytest.raises(targets.Unresolvable) as error:
            targets.resolve(target, seconds=0.05)
        assert not error.value.is_known
        assert post(target.url, b"{}", {}, seconds=0.05).reason == "dns_error"
        over.set()

    def test_a_silent_resolver_gets_so_many_threads_and_no_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        over, asked = threading.Event(), []

        def hang(host: str, *args: object, **kwargs: object) -> list[object]:
            asked.append(host)
            over.wait()
            return []

        monkeypatch.setattr("socket.getaddrinfo", hang)
        monkeypatch.setattr(targets, "_lookups", threading.BoundedSemaphore(2))
        for number in range(5):
            with pytest.raises(targets.Unresolvable) as error:
                targets.resolve(targets.check_url(f"https://{number}.example.com/"), seconds=0.05)
            assert not error.value.is_known
        assert asked == ["0.example.com", "1.example.com"]
        over.set()

    def test_a_resolver_that_fails_now_refuses_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: object, **kwargs: object) -> list[object]:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")

        monkeypatch.setattr("socket.getaddrinfo", fail)
        targets.check("https://hooks.example.com/")
        assert post("https://hooks.example.com/", b"{}", {}).reason == "dns_error"

    def test_a_name_that_is_gone_is_no_reason_to_give_up(self, internet: Internet) -> None:
        """It is at acceptance, where a caller can correct it."""
        assert refusal("https://nothing.example/") == NOWHERE
        assert post("https://nothing.example/", b"{}", {}).reason == "dns_error"


class TestAnyURL:
    """What a program makes of a URL is what was checked, and not what another parser sees."""

    PIECES = st.sampled_from(
        "https http :// : / // @ # ? \\ . .. [ ] :: % %2f %00 \t \r \n \0 127.0.0.1 example.com "
        "93.184.216.34 0x7f 2130706433 localhost user :80 :443 :22 \uff0f \u3002 \u212a \xad 한글 "
        "xn--vv4b11d a -".split(" ")
    )

    @given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=12).map("".join)))
    @example("https://example.com:443\\@127.0.0.1/")
    @example("https://example.com:/?#")
    def test_it_is_refused_or_read_alike(self, text: str) -> None:
        for url in (text, f"https://{text}", f"https://93.184.216.34{text}"):
            try:
                target = targets.check_url(url)
            except WebhookUrlRefused:
                continue
            sent = httpcore2.URL(target.url)
            assert (sent.scheme, sent.origin.port) == (b"https", target.port)
            assert sent.host.decode("ascii").strip("[]") == target.host
            assert target.url.isascii()
            assert target.url.isprintable()
            # What was written once more says the same.
            assert targets.check_url(target.url) == target
