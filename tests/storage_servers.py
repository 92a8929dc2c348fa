"""A real S3 server (moto) and a proxy before it that counts requests and, if told so, breaks every n-th one."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from moto.server import ThreadedMotoServer


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.lock = upstream, threading.Lock()
        self.break_every = 0
        self.requests: list[str] = []
        self.broken = 0
        self.bytes_sent = 0

    def handle_error(self, request, client_address) -> None:  # a client that left is no news here
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def _forward(self) -> None:
        body = self._body()
        with self.server.lock:
            self.server.requests.append(f"{self.command} {self.path}")
            number = len(self.server.requests)
        fault = self.server.break_every and number % self.server.break_every == 0
        if fault:
            self.server.broken += 1
            kind = self.server.broken % 3
            if kind == 0:
                return self._answer(500, {}, b"<Error><Code>InternalError</Code></Error>")
            if kind == 1:  # before the server has seen the request
                self.close_connection = True
                return self.connection.close()
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        upstream.request(self.command, self.path, body=body, headers={**headers, "Content-Length": str(len(body))})
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        if fault:  # after it has done it: the client cannot know
            self.close_connection = True
            return self.connection.close()
        with self.server.lock:
            self.server.bytes_sent += len(content)
        return self._answer(answer.status, dict(answer.getheaders()), content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = headers.get("Content-Length", str(len(content))) if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _forward

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def s3_server() -> Iterator[tuple[_Proxy, dict]]:
    """A running S3 server behind its proxy, and the storage options that reach it; the bucket is ``bucket``."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    proxy = _Proxy(moto.get_host_and_port()[1])
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", proxy.upstream)
    connection.request("PUT", "/bucket")
    connection.getresponse().read()
    connection.close()
    options = {
        "key": "test",
        "secret": "test",
        "endpoint_url": f"http://127.0.0.1:{proxy.server_port}",
        "client_kwargs": {"region_name": "us-east-1"},
    }
    try:
        yield proxy, options
    finally:
        proxy.shutdown()
        proxy.server_close()
        moto.stop()
