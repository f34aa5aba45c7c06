"""Heads: how large the line and the headers of a request may be. httptools has no bound of its own."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_OCTETS = 32 * 1024
PACKET_OCTETS = 256 * 1024  # what may come at once, and hold requests before this one


class Protocol(HttpToolsProtocol):
    """uvicorn's, which answers 431 (RFC 6585 §5) to a head of more than MOST_OCTETS and hangs up.

    A head is looked at only where what came since it began is larger than it may be: most never are.
    """

    _open = False  # in the middle of a head
    _came = _packet = 0  # octets: since the packet in which it began, and in the one that is read now
    _too_large = False

    def data_received(self, data: bytes) -> None:
        self._packet = len(data)
        if self._open:
            self._came += len(data)
        super().data_received(data)
        if self._open and self._came > MOST_OCTETS + PACKET_OCTETS:
            self._too_large = True
            self.send_400_response("")

    def on_message_begin(self) -> None:
        self._open, self._came = True, self._packet
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._open = False
        if self._came > MOST_OCTETS and self._octets() > MOST_OCTETS:
            self._too_large = True
            raise ValueError("the head is too large")  # which ends in send_400_response
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if not self._too_large:
            super().send_400_response(msg)
            return
        text = b"The line and headers of a request may have %d octets." % MOST_OCTETS
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(text), text)
        )
        self.transport.close()

    def _octets(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
