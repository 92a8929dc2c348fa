"""The labelling page's server: files of the page, layers of a sample, and a socket for strokes and proposals."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from labelfactory.errors import InputError, WorkError
from labelfactory.flows.labelling.desk import Desk, Tab
from labelfactory.flows.labelling.security import MAX_BODY, Guard, Rate

PAGE = Path(__file__).with_name("page")
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
MAX_SOCKETS = 8
MOST_MESSAGES = (400, 2.0)  # messages of one socket in as many seconds: a hand is slower
log = logging.getLogger("labelfactory.labelling")


def make_app(desk: Desk, port: int) -> tuple[Starlette, Guard]:
    """The application and its guard, whose ``token`` opens it. The desk learns while the application lives."""
    # The page's files by their address: nothing that a client says becomes a path.
    files = {"/": PAGE / "index.html"} | {
        f"/static/{p.relative_to(PAGE).as_posix()}": p for p in sorted(PAGE.rglob("*")) if p.suffix in TYPES
    }

    async def file(request: Request) -> Response:
        found = files.get(request.url.path)
        if found is None:
            return Response("no such file\n", 404)
        return Response(found.read_bytes(), media_type=TYPES[found.suffix])

    async def state(request: Request) -> Response:
        return JSONResponse(desk.state())

    async def image(request: Request) -> Response:
        pixels = desk.session.labels.samples[_index(request, len(desk.session.names))].image
        return _png(pixels, "max-age=31536000, immutable")

    async def layers(request: Request) -> Response:
        index = _index(request, len(desk.session.names))
        return Response(desk.layers(index), media_type="application/octet-stream")

    async def gallery(request: Request) -> Response:
        return JSONResponse(desk.shown_gallery())

    async def gallery_image(request: Request) -> Response:
        fresh = desk.gallery.get(request.path_params["index"])
        if fresh is None:
            return Response("not made yet\n", 404)
        if request.query_params.get("kind") != "overlay":
            return _png(fresh.image)
        colors = np.array([c.color for c in desk.session.labels.classes], np.float32)
        grey = np.broadcast_to(fresh.image, (*fresh.mask.shape, 3)).astype(np.float32)
        blended = np.where((fresh.mask > 0)[..., None], 0.5 * grey + 0.5 * colors[fresh.mask], grey)
        return _png(blended.round().astype(np.uint8))

    async def curve(request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(desk.curve))

    async def finish(request: Request) -> Response:
        return JSONResponse({"files": await desk.finish(), "command": desk.command()})

    async def generate(request: Request) -> Response:
        try:
            wanted = await request.json()
        except ValueError:
            raise InputError("a body that is no JSON") from None
        if not isinstance(wanted, dict):
            raise InputError("a body that is no object")
        desk.generate(wanted.get("count"), wanted.get("out"))
        return JSONResponse({"begun": True})

    async def socket(websocket: WebSocket) -> None:
        if len(desk.tabs) >= MAX_SOCKETS:
            log.warning("refused WS: more than %d tabs", MAX_SOCKETS)
            await websocket.close(1013)
            return
        await websocket.accept()
        tab = Tab(_sayer(websocket), name=f"tab-{id(websocket) & 0xFFFF:04x}")
        await desk.joined(tab)
        try:
            await _hear(websocket, desk, tab)
        finally:
            await desk.left(tab)

    @asynccontextmanager
    async def alive(_: Starlette) -> AsyncIterator[None]:
        desk.start()
        try:
            yield
        finally:
            await asyncio.to_thread(desk.stop)

    async def refused(_: Request, error: Exception) -> Response:
        return JSONResponse({"type": "error", "text": " ".join(str(error).split())[:300]}, 400)

    routes = [
        Route("/api/state", state),
        Route("/api/image/{index:int}.png", image),
        Route("/api/layers/{index:int}", layers),
        Route("/api/gallery", gallery),
        Route("/api/gallery/{index:int}.png", gallery_image),
        Route("/api/curve", curve),
        Route("/api/finish", finish, methods=["POST"]),
        Route("/api/generate", generate, methods=["POST"]),
        WebSocketRoute("/ws", socket),
        Route("/{path:path}", file),
    ]
    app = Starlette(routes=routes, lifespan=alive, exception_handlers={InputError: refused, WorkError: refused})
    guard = Guard(app, port)
    return app, guard


def _index(request: Request, count: int) -> int:
    index: int = request.path_params["index"]
    if index >= count:
        raise InputError(f"sample {index}: expected 0 to {count - 1}")
    return index


def _png(pixels: np.ndarray, caching: str = "no-store") -> Response:
    data = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(data, "PNG")
    return Response(data.getvalue(), media_type="image/png", headers={"cache-control": caching})


def _sayer(websocket: WebSocket) -> Any:
    async def say(message: dict[str, Any]) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # it left meanwhile
            await websocket.send_text(json.dumps(message))

    return say


async def _hear(websocket: WebSocket, desk: Desk, tab: Tab) -> None:
    """Until the page leaves, floods, or says something that is no message."""
    rate = Rate(*MOST_MESSAGES)
    while True:
        try:
            text = await websocket.receive_text()
        except (WebSocketDisconnect, KeyError):  # KeyError: bytes in place of text
            return
        if rate.exceeded():
            log.warning("refused WS: more than %d messages in %g s", *MOST_MESSAGES)
            await websocket.close(1008)
            return
        message: Any = None
        try:
            message = json.loads(text, parse_constant=_no_constant)
            if not isinstance(message, dict):
                raise InputError("a message that is no object")
            await desk.said(tab, message)
        except (InputError, WorkError, ValueError, RecursionError, TypeError) as error:
            log.warning("refused WS message: %s", " ".join(str(error).split())[:200])
            identity = str(message.get("id", ""))[:64] if isinstance(message, dict) else ""
            await tab.say({"type": "refused", "id": identity, "why": " ".join(str(error).split())[:300]})


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def serve(desk: Desk, port: int, tell: Any) -> None:
    """Until Ctrl-C. ``tell`` hears the address to open. InputError where the port is taken."""
    import socket

    import uvicorn

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise InputError(
            f"port {port}: cannot be used ({error.strerror}); choose another --port, or 0 for any"
        ) from None
    port = listener.getsockname()[1]
    _, guard = make_app(desk, port)
    config = uvicorn.Config(
        guard, log_level="warning", ws_max_size=MAX_BODY, ws_max_queue=64, server_header=False, access_log=False,
        limit_concurrency=64, timeout_graceful_shutdown=3, lifespan="on",
    )  # fmt: skip
    tell(f"http://127.0.0.1:{port}/?token={guard.token}")
    uvicorn.Server(config).run(sockets=[listener])
