"""TLS at the server's end of a connection, without sockets: octets in, octets out."""

from __future__ import annotations

import ssl

# A TLS record carries at most 16 KiB (RFC 8446 5.1).
_RECORD = 16384


class TlsChannel:
    """One TLS session. Give `receive` what arrived; send what `take` returns."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        #: Whether the handshake is over.
        self.is_ready = False

    def receive(self, octets: bytes) -> bytes:
        """Take encrypted octets and return the plain ones that are complete.

        Raises:
            ssl.SSLError: what arrived is no TLS, or the client ended it.
        """
        self._incoming.write(octets)
        plain: list[bytes] = []
        try:
            if not self.is_ready:
                self._session.do_handshake()
                self.is_ready = True
            while chunk := self._session.read(_RECORD):
                plain.append(chunk)
        except ssl.SSLWantReadError:
            pass  # the rest is still on its way
        return b"".join(plain)

    def send(self, octets: bytes) -> None:
        """Encrypt octets for the client."""
        self._session.write(octets)

    def take(self) -> bytes:
        """Return what is to be sent to the client now."""
        return self._outgoing.read()
