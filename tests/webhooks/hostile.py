"""Where no webhook may go: addresses, hosts, URLs and names, each of which somebody has tried."""

from __future__ import annotations

from tests.webhooks.internet import PUBLIC, PUBLIC_V6

ADDRESSES = [
    # Special addresses of IPv4 (RFC 6890 and IANA's registry), first and last ones among them.
    *("0.0.0.0", "0.255.255.255", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255"),
    *("100.100.100.200", "127.0.0.1", "127.1.2.3", "127.255.255.255", "169.254.0.1"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.171", "192.0.2.1"),
    *("192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
    "255.255.255.255",
    # The same of IPv6, and those that hold another address.
    *("[::]", "[::1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:93.184.216.34]"),
    *("[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]"),
    *("[64:ff9b:1::1]", "[100::1]", "[2001::1]", "[2001:10::1]", "[2001:20::1]", "[2001:db8::1]"),
    *("[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[3ffe::1]", "[3fff::1]", "[5f00::1]", "[fc00::1]"),
    *("[fd00:ec2::254]", "[fe80::1]", "[febf::1]", "[fec0::1]", "[feff::1]", "[ff02::1]"),
    # Metadata of machines in clouds that is not link-local: Azure's is an address of the internet.
    *("168.63.129.16", "[fd20:ce::254]"),
    *("[ff0e::1]", "[1::1]", "[100:0:0:1::1]", "[4000::1]", "[e000::1]", "[f000::1]"),
]
# Ways to write an address, or a name, that programs read differently.
HOSTS = [
    *("2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "017700000001", "0177.0.0.1"),
    *("127.0.0.01", "127.1", "127.0.1", "0", "0x", "1.1.1.1.1", "example.0x7f", "example.1"),
    *("127.0.0.1.", "localhost.", "localhost..", ".localhost", "a..example", "metadata.example."),
    # Full-width, circled, superscript and other letters that resolvers map to ASCII.
    *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1"),
    *("\u24db\u24de\u24d2alhost", "\uff4cocalhost", "\u2460\u2461\u2466.0.0.1"),
    *("local\u00adhost", "local\u200bhost", "l\u00f8calhost.\uff14", "\u212aotlin.example"),
    *("%6c%6fcalhost", "127.0.0.1%2f", "[fe80::1%25eth0]", "[::1%25lo]", "[::1", "[v1.fe]"),
    *("[127.0.0.1]", "[]", "", "-example.com", "exa mple.com", "x" * 64 + ".example"),
    ".".join(["x" * 60] * 5),
]
URLS = [
    "http://user@{host}/",
    "http://user:password@{host}/",
    "http://example.com@{host}/",
    "http://example.com:80@{host}/",
    "http://{host}@example.com/",
    "http://example.com\\@{host}/",
    "http://example.com#@{host}/",
    "http:\\\\{host}\\",
    "http:{host}/",
    "http:/{host}/",
    "http:///{host}/",
    "//{host}/",
    "{host}/",
    " http://{host}/",
    "http://{host}/ ",
    "http://{host}/\r\nX: y",
    "http://{host}\t/",
    "http://exa\nmple.com/",
    "http://{host}/\0",
    "http://{host}/<script>",
    "http://{host}:99999/",
    "http://{host}:-1/",
    "http://{host}:80:80/",
    "http://{host}:0x50/",
    "ftp://{host}/",
    "file:///etc/passwd",
    "file://{host}/etc/passwd",
    "gopher://{host}/_x",
    "javascript:alert(1)",
    "data:text/plain,x",
    "unix:///run/docker.sock",
    "ws://{host}/",
    "https://" + "a" * 2000 + ".example/",
    "",
]
#: Names by what they resolve to.
NAMES = {
    "loopback.example": ["127.0.0.1"],
    "loopback6.example": ["::1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "localhost": ["127.0.0.1", "::1"],
    "a.localhost": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "private.example": ["10.0.0.7"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "mixed-first.example": ["127.0.0.1", PUBLIC],
    "mixed6.example": [PUBLIC_V6, "fd00::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "6to4.example": ["2002:7f00:1::1"],
    "link-local.example": ["fe80::1%2"],
    "multicast.example": ["224.0.0.251"],
    "unspecified.example": ["0.0.0.0"],
}
