"""Images by address, over real servers on this machine that stand for the internet where a test says so."""

import asyncio
import http.server
import threading
from collections.abc import Generator, Sequence

import pytest
from caravan.media.fetching import ImageFetcher, is_public
from caravan.media.values import MediaRefusedError

HOST = "images.example.org"
IMAGE = b"\x89PNG image"
ANY = range(65536)


class _Site(http.server.BaseHTTPRequestHandler):
    """`/image` is one; `/to/...` leads there; `seen` has the hosts and paths that were asked for."""

    seen: list[tuple[str | None, str]]

    def do_GET(self) -> None:
        self.seen.append((self.headers["host"], self.path))
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/slow":
            self.slow.wait(60)  # type: ignore[attr-defined]
        size = 1000 if self.path == "/large" else 1
        self.send_response(200)
        # No length is told, so that it has to be counted.
        self.end_headers()
        self.wfile.write(IMAGE * size)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is written."""


class Site:
    """A server on a free port."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, str]] = []
        self.slow = threading.Event()
        handler = type("Handler", (_Site,), {"seen": self.seen, "slow": self.slow})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def url(self, path: str, host: str = HOST) -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self.slow.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def site() -> Generator[Site, None, None]:
    made = Site()
    yield made
    made.close()


async def here(_host: str, _port: int) -> Sequence[str]:
    """Every name is this machine's."""
    return ["127.0.0.1"]


def is_this_machine(address: str) -> bool:
    return address == "127.0.0.1"


def fetched(url: str, *hosts: str, seconds: float = 10.0) -> bytes:
    """Fetch as if this machine had a public address."""
    fetcher = ImageFetcher(hosts, is_allowed=lambda _: True, resolve=here, ports=ANY, seconds=seconds)
    return asyncio.run(fetcher.fetch(url, 1000))


def refused(url: str, *hosts: str, seconds: float = 10.0) -> str:
    with pytest.raises(MediaRefusedError) as caught:
        fetched(url, *hosts, seconds=seconds)
    return str(caught.value)


@pytest.mark.parametrize("listed", [HOST, "*.example.org", "*", "IMAGES.example.org."])
def test_listed_hosts_are_asked_by_their_name(site: Site, listed: str) -> None:
    assert fetched(site.url("/image?size=1"), listed) == IMAGE
    assert site.seen == [(f"{HOST}:{site.port}", "/image?size=1")]


@pytest.mark.parametrize("listed", ["example.org", "*.images.example.org", "*.ample.org", "ages.example.org"])
def test_no_other_host_is_asked(site: Site, listed: str) -> None:
    assert f"the host '{HOST}', from which this server fetches no images" in refused(site.url("/"), listed)
    assert not site.seen


def test_without_a_list_nothing_is_fetched(site: Site) -> None:
    message = refused(site.url("/image"))
    assert "this server fetches no images" in message
    assert "data:image/png;base64" in message
    assert not site.seen


def test_redirects_are_followed_within_the_list(site: Site) -> None:
    assert fetched(site.url("/to//image"), HOST) == IMAGE
    assert fetched(site.url("/to//to//to//image"), HOST) == IMAGE
    assert "more than 3 times" in refused(site.url("/to//to//to//to//image"), HOST)
    away = site.url("/to/http://others.example.com/image")
    assert "the host 'others.example.com'" in refused(away, HOST)
    assert "no address of HTTP" in refused(site.url("/to/file:///etc/passwd"), HOST)


def test_private_addresses_are_never_asked(site: Site) -> None:
    """Neither by name nor by number, nor by way of a redirect, whatever the list says."""
    fetcher = ImageFetcher(["*"], resolve=here, ports=ANY)
    with pytest.raises(MediaRefusedError, match="has no public address"):
        asyncio.run(fetcher.fetch(site.url("/image"), 1000))
    for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f.1"):
        with pytest.raises(MediaRefusedError, match=r"has no public address|is not found"):
            asyncio.run(ImageFetcher(["*"], ports=ANY).fetch(site.url("/image", host), 1000))
    assert not site.seen


def test_a_redirect_to_this_machine_is_not_followed(site: Site) -> None:
    async def resolve(host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"] if host == HOST else ["10.0.0.1"]

    fetcher = ImageFetcher(
        ["*"], resolve=resolve, ports=ANY, is_allowed=lambda address: address == "127.0.0.1"
    )
    with pytest.raises(MediaRefusedError, match=r"'inner\.example\.org', which has no public address"):
        asyncio.run(fetcher.fetch(site.url("/to/http://inner.example.org/image"), 1000))


def test_a_name_is_resolved_once_for_each_step(site: Site) -> None:
    """Or a name server could give a public address to the check, and a private one to the connection."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    fetcher = ImageFetcher(
        [HOST], resolve=resolve, ports=ANY, is_allowed=lambda address: address == "127.0.0.1"
    )
    assert asyncio.run(fetcher.fetch(site.url("/image"), 1000)) == IMAGE
    assert asked == [HOST]


def test_all_addresses_of_a_name_have_to_be_public(site: Site) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["93.184.215.14", "127.0.0.1"]

    with pytest.raises(MediaRefusedError, match="has no public address"):
        asyncio.run(ImageFetcher([HOST], resolve=resolve, ports=ANY).fetch(site.url("/image"), 1000))
    assert not site.seen


def test_what_is_too_much_or_too_slow_is_given_up(site: Site) -> None:
    assert "more than 1000 bytes" in refused(site.url("/large"), HOST)
    assert "within 0.2 seconds" in refused(site.url("/slow"), HOST, seconds=0.2)
    assert "status 404" in refused(site.url("/missing"), HOST)


@pytest.mark.parametrize(
    "url",
    [
        "http://b\u00fccher..example.org/",
        f"http://images.example.org/{'a' * 9000}",
        "http://images.example.org/\u00fc\ud800",
        "http:///image",
        "http://a:b@images.example.org/",
        "http://images.example.org:99999/",
        "ftp://a/",
        "http://[/",
    ],
)
def test_odd_addresses_are_refused(url: str) -> None:
    assert refused(url, "*")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *("224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1"),
        *(
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "::127.0.0.1",
        ),
        *("fec0::1", "5f00::1", "168.63.129.16", "192.0.0.192", "100::1"),
        "localhost",
    ],
)
def test_addresses_that_are_not_the_internets(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(address)


def test_names_of_other_letters_are_asked_as_name_servers_know_them(site: Site) -> None:
    assert fetched(site.url("/image", "b\u00fccher.example.org"), "*.example.org") == IMAGE
    assert site.seen[0][0] == f"xn--bcher-kva.example.org:{site.port}"


@pytest.mark.parametrize("location", ["//[", "http://[", "http://a:b@images.example.org/", "http://x:99999/"])
def test_a_redirect_to_nonsense_is_refused(site: Site, location: str) -> None:
    assert refused(site.url(f"/to/{location}"), "*")


def test_only_the_usual_ports_are_asked(site: Site) -> None:
    fetcher = ImageFetcher([HOST], is_allowed=lambda _: True, resolve=here)
    with pytest.raises(MediaRefusedError, match=f"leads to the port {site.port}"):
        asyncio.run(fetcher.fetch(site.url("/image"), 1000))
    assert not site.seen


def test_a_few_are_fetched_at_a_time(site: Site) -> None:
    """Each of the others waits, without its time being counted."""
    num_asked = 0

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        nonlocal num_asked
        num_asked += 1
        return ["127.0.0.1"]

    async def run() -> None:
        fetcher = ImageFetcher([HOST], is_allowed=lambda _: True, resolve=resolve, ports=ANY)
        tasks = [asyncio.create_task(fetcher.fetch(site.url("/slow"), 1000)) for _ in range(20)]
        while num_asked < 8:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert num_asked == 8
        site.slow.set()
        assert await asyncio.gather(*tasks) == [IMAGE] * 20

    asyncio.run(run())
