"""A cable between a client and a server, which can be cut: nothing comes through, and nobody is told.

Unlike a dead server, which closes its connections. Both sides believe that the other is silent.
"""

import socket
import threading
from contextlib import suppress


class Wire:
    """Passes connections to `port` of the loopback on to a server's, in threads, until closed."""

    def __init__(self, server_port: int) -> None:
        self._server = ("127.0.0.1", server_port)
        self._whole = threading.Event()
        self._whole.set()
        self._is_closed = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut(self) -> None:
        """What is sent from now on does not arrive, and connections that are asked for never answer."""
        self._whole.clear()

    def heal(self) -> None:
        """What was held up arrives after all, as what TCP sends again does."""
        self._whole.set()

    def close(self) -> None:
        """No thread and no connection is left."""
        self._is_closed = True
        self._whole.set()
        for one in [self._listener, *self._sockets]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(20)

    def _start(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args, name="wire", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
                self._whole.wait()
                server = socket.create_connection(self._server)
            except OSError:  # closed, or the server is away
                continue
            self._sockets += (client, server)
            self._start(self._pass_on, client, server)
            self._start(self._pass_on, server, client)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._whole.wait()
                target.sendall(data)
        self._whole.wait()
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
