"""Who may talk to the labelling page: the person who started it, from a browser on this machine, and nobody else.

A page of another site can make a browser send requests to this server (and by DNS rebinding under another name), and
other users of the machine can reach its port. So every request has to name this server as its host, come from this
page, and carry a cookie that was given for a token which only the terminal showed.
"""

import hmac
import logging
import secrets
from collections import deque
from time import monotonic

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 2**20  # bytes
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
log = logging.getLogger("labelfactory.labelling")


class BodyTooLargeError(Exception):
    """More bytes came than a request may have."""


class Guard:
    """ASGI middleware: refuses in one line of the log, adds the headers to every answer, limits bodies."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        self._cookie = f"labelfactory_{port}"  # browsers do not tell ports apart
        self.token, self._session = secrets.token_urlsafe(24), secrets.token_urlsafe(32)
        self._token_used = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        why = self._wrong_place(scope, headers)
        if why is None and scope["type"] == "http" and self._shows_token(scope):
            return await self._welcome(scope, receive, send)
        if why is None and not self._knows(headers):
            why = "no valid session: open the address that `factory label` printed"
        if why is None and int(_number(headers.get("content-length"))) > MAX_BODY:
            why = f"a body of {headers['content-length'][:20]} bytes"
        if why is not None:
            return await self._refuse(scope, receive, send, why)
        try:
            await self._app(scope, _limited(receive), _with_headers(send) if scope["type"] == "http" else send)
        except BodyTooLargeError:
            await self._refuse(scope, receive, send, f"a body of more than {MAX_BODY} bytes")

    def _wrong_place(self, scope: Scope, headers: Headers) -> str | None:
        """Why a request cannot come from our own page."""
        if len(headers.getlist("host")) != 1 or headers["host"] not in self.hosts:
            return f"host {headers.get('host', '')[:60]!r}"
        origins = headers.getlist("origin")
        own = f"http://{headers['host']}"
        if any(origin != own for origin in origins):
            return f"origin {origins[0][:60]!r}"
        needed = scope["type"] == "websocket" or scope.get("method") not in ("GET", "HEAD")
        if needed and not origins:
            return "no origin"
        if headers.get("sec-fetch-site") not in (None, "same-origin", "none"):
            return f"a request of another site ({headers['sec-fetch-site'][:20]})"
        return None

    def _knows(self, headers: Headers) -> bool:
        given = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        return hmac.compare_digest(given.encode(), self._session.encode())

    def _shows_token(self, scope: Scope) -> bool:
        return scope["path"] == "/" and scope["query_string"].startswith(b"token=")

    async def _welcome(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gives the cookie for the token, once, and shows the page under an address without it."""
        right = hmac.compare_digest(scope["query_string"][6:], self.token.encode())
        if not right or (self._token_used and not self._knows(Headers(scope=scope))):
            await self._refuse(scope, receive, send, "a token that is wrong or was used")
            return
        self._token_used = True
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie, self._session, httponly=True, samesite="strict", path="/")
        await answer(scope, receive, _with_headers(send))

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, why: str) -> None:
        log.warning("refused %s %s: %s", scope.get("method", "WS"), scope["path"][:80], why)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        status = 413 if "body" in why else 403
        await PlainTextResponse(f"refused: {why}\n", status)(scope, receive, _with_headers(send))


class Rate:
    """At most ``most`` calls in ``seconds``."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds, self._times = most, seconds, deque[float]()

    def exceeded(self) -> bool:
        now = monotonic()
        while self._times and now - self._times[0] > self._seconds:
            self._times.popleft()
        self._times.append(now)
        return len(self._times) > self._most


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 20 else 0


def _limited(receive: Receive) -> Receive:
    total = 0

    async def limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        if total > MAX_BODY:
            raise BodyTooLargeError
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name for name, _ in message["headers"]}
            added: list[tuple[bytes, bytes]] = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
            if b"cache-control" not in names:
                added.append((b"cache-control", b"no-store"))
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return with_headers
