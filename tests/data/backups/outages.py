"""A way to an object store that is cut now and then."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from tests.data.object_store.minio import Store
from tests.servers import free_port

PIECE = 65536


class Gateway:
    """Forwards connections to a store. It refuses new ones for some seconds after each of some numbers of bytes."""

    def __init__(self, store: Store, seconds: float) -> None:
        self.target = (urlsplit(store.url).hostname, urlsplit(store.url).port)
        self.port = free_port()
        self.seconds = seconds
        self.moments: list[int] = []
        """Numbers of forwarded bytes, of which each begins an outage."""
        self.bytes = 0
        self.outages = 0
        self._away_until = 0.0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._listener = self._listen()

    def _listen(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        listener.settimeout(0.1)
        return listener

    def serve(self) -> None:
        """Accept connections until the gateway is closed."""
        while not self._closed:
            if time.monotonic() < self._away_until:
                if self._listener.fileno() >= 0:
                    self._listener.close()  # connections are refused
                time.sleep(0.05)
                continue
            if self._listener.fileno() < 0:
                self._listener = self._listen()
            with contextlib.suppress(TimeoutError, OSError):
                client, _ = self._listener.accept()
                if time.monotonic() < self._away_until:
                    client.close()  # it was in the queue when the outage began
                    continue
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()
        self._listener.close()

    def close(self) -> None:
        """Stop serving."""
        self._closed = True

    def _forward(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self.target) as server:
            with self._lock:
                self._open |= {client, server}
            with selectors.DefaultSelector() as selector:
                selector.register(client, selectors.EVENT_READ, server)
                selector.register(server, selectors.EVENT_READ, client)
                while True:
                    for key, _ in selector.select():
                        piece = key.fileobj.recv(PIECE)  # type: ignore[union-attr]  # a socket
                        if not piece:
                            return
                        key.data.sendall(piece)
                        self._count(len(piece))

    def _count(self, forwarded: int) -> None:
        with self._lock:
            self.bytes += forwarded
            if not self.moments or self.bytes < self.moments[0]:
                return
            self.moments.pop(0)
            self.outages += 1
            self._away_until = time.monotonic() + self.seconds
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()


@contextlib.contextmanager
def gateway(store: Store, seconds: float) -> Iterator[tuple[Gateway, Store]]:
    """A gateway, and the store as it is reached through it."""
    made = Gateway(store, seconds)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made, replace(store, url=f"http://127.0.0.1:{made.port}")
    finally:
        made.close()
        thread.join()
