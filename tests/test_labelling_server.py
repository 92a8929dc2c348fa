"""The labelling server: strokes are kept and proposals come; whoever is not its page is refused and changes nothing."""

import hashlib
import json
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from labelling_server import LabellingServer
from PIL import Image
from tiny_world import TinyWorld, make_tiny_world

from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.storage import open_dataset


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_tiny_world(tmp_path_factory.mktemp("world"))


def blank_labels(world: TinyWorld, folder: Path) -> Path:
    """A label set of four images that nobody has labelled."""
    labels = LabelSet.load(world.labels)
    blank = np.full((16, 16), 255, np.uint8)
    replace(labels, samples=tuple(s._replace(mask=blank) for s in labels)).save(folder)
    return folder


@pytest.fixture(scope="module")
def running(world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabellingServer]:
    folder = tmp_path_factory.mktemp("labelling")
    server = LabellingServer(blank_labels(world, folder / "labels"), world.checkpoint, folder / "log.txt")
    server.log_in()
    yield server
    server.kill()


def tree(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


def layers(server: LabellingServer, index: int) -> dict[str, Any]:
    status, _, body = server.ask("GET", f"/api/layers/{index}")
    assert status == 200
    (length,) = struct.unpack_from("<I", body)
    header = json.loads(body[8 : 8 + length])
    for entry in header["arrays"]:
        start = 8 + length + entry["offset"]
        header[entry["name"]] = np.frombuffer(body[start : start + entry["length"]], entry["dtype"]).reshape(16, 16)
    return header


def hear(connection: Any, kind: str, **wanted: Any) -> dict[str, Any]:
    """The next message of a kind."""
    while True:
        message = json.loads(connection.recv(timeout=240))
        if message["type"] == kind and wanted.items() <= message.items():
            return message


def stroke(sample: int, value: int, *points: tuple[float, float], identity: str = "x", **more: Any) -> str:
    event = {"tool": "brush", "value": value, "points": points, "size": 2.0, **more}
    return json.dumps({"type": "stroke", "id": identity, "sample": sample, "event": event})


def test_a_stroke_is_saved_proposed_from_accepted_and_finished(world: TinyWorld, tmp_path: Path) -> None:
    labels = blank_labels(world, tmp_path / "labels")
    server = LabellingServer(labels, world.checkpoint, tmp_path / "log.txt")
    try:
        server.log_in()
        truth = LabelSet.load(world.labels).samples[0].mask
        bright, dark = (np.argwhere(truth == v) for v in (1, 0))
        with server.socket() as page:
            assert hear(page, "editor")["editor"]
            for k, (value, places) in enumerate(((1, bright), (0, dark), (1, bright[5:]), (0, dark[5:]))):
                y, x = places[0].tolist()
                page.send(stroke(0, value, (x + 0.5, y + 0.5), identity=f"s{k}", size=0.4))
                assert hear(page, "saved", id=f"s{k}")["revision"] == k + 1
            page.send(stroke(0, 1, (1.0, 1.0), identity="s1"))  # the same message again, as after a lost answer
            assert hear(page, "saved", id="s1")["revision"] == 4
            hear(page, "model")
            page.send('{"type": "open", "sample": 2}')
            hear(page, "layers", sample=2)
            page.send(json.dumps({"type": "accept", "id": "a", "sample": 0, "what": "all"}))
            assert hear(page, "saved", id="a")["revision"] == 5
            shown = layers(server, 0)
            assert (shown["mask"] != 255).all()
            page.send(json.dumps({"type": "stroke", "id": "u", "sample": 0, "event": {"tool": "undo"}}))
            hear(page, "saved", id="u")
            assert (layers(server, 0)["mask"] != 255).sum() == 4
            page.send(json.dumps({"type": "stroke", "id": "r", "sample": 0, "event": {"tool": "redo"}}))
            hear(page, "saved", id="r")
            hear(page, "gallery")
        status, _, body = server.ask("POST", "/api/finish", origin=server.origin)
        assert status == 200, body
        for wanted in (
            {"count": 12, "out": "../away.zarr"},
            {"count": 0, "out": "a"},
            {"out": "a"},
            [],
            {"count": "x"},
        ):
            refused, _, _ = server.ask("POST", "/api/generate", json.dumps(wanted).encode(), origin=server.origin)
            assert refused == 400
        with server.socket() as page:
            order = json.dumps({"count": 12, "out": "pairs.zarr"}).encode()
            assert server.ask("POST", "/api/generate", order, origin=server.origin)[0] == 200
            assert hear(page, "progress", finished=True)["done"] == 12
        made = open_dataset(str(tmp_path / "pairs.zarr"), keep=False)
        interpreter = hashlib.sha256((labels / "interpreter.safetensors").read_bytes()).hexdigest()
        assert made.spec.interpreter_sha256 == interpreter  # generating uses exactly the interpreter that was written
        assert "factory generate" in json.loads(body)["command"]
        finished = LabelSet.load(labels)
        np.testing.assert_array_equal(finished.samples[0].mask, shown["mask"])
        assert (labels / "interpreter.safetensors").is_file()
    finally:
        assert server.stop() == 130
    assert "every stroke is kept" in server.log.read_text()


def test_a_set_that_is_not_there_is_made_and_photographs_join_it(world: TinyWorld, tmp_path: Path) -> None:
    """Photographs are pictures of the generator here, so that they can be explained."""
    labels = LabelSet.load(world.labels)
    (tmp_path / "photos").mkdir()
    for name, sample in zip("ab", labels, strict=False):
        Image.fromarray(sample.image[..., 0]).save(tmp_path / "photos" / f"{name}.png")
    Image.fromarray(np.indices((16, 16)).sum(0).astype(np.uint8) % 2 * 255).save(tmp_path / "photos" / "noise.png")
    words = ("--classes", "dark,bright", "--count", "3", "--images", str(tmp_path / "photos"))
    server = LabellingServer(tmp_path / "new", world.checkpoint, tmp_path / "log.txt", 0, *words)
    try:
        server.log_in()
        with server.socket() as page:
            page.send(stroke(0, 1, (5, 5)))
            hear(page, "saved")
            assert hear(page, "samples")["left"] == 0
            page.send(stroke(4, 1, (5, 5), identity="photo"))
            hear(page, "saved", id="photo")
        samples = json.loads(server.ask("GET", "/api/state")[2])["samples"]
        assert [s["name"] for s in samples[3:]] == ["a", "b", "noise"]
        assert [s["fidelity"] is None for s in samples] == [True] * 3 + [False] * 3
        assert samples[5]["fidelity"] < 0.5 < samples[3]["fidelity"]  # what the generator cannot make shows as poor
    finally:
        server.stop()
    kept = LabelSet.load(tmp_path / "new")
    assert [s.latent is None for s in kept] == [True] * 3 + [False] * 3
    again = LabellingServer(tmp_path / "new", world.checkpoint, tmp_path / "again.txt")
    try:
        again.log_in()
        assert (layers(again, 4)["mask"] == 1).any()
    finally:
        again.kill()


def test_an_interpreter_is_gone_on_from(world: TinyWorld, tmp_path: Path) -> None:
    labels = blank_labels(world, tmp_path / "labels")
    file = tmp_path / "mine.safetensors"
    settings = InterpreterSettings(members=2)
    train_interpreter(world.generator, LabelSet.load(world.labels), settings, progress=False).save(file)
    server = LabellingServer(labels, world.checkpoint, tmp_path / "log.txt", 0, "--interpreter", str(file))
    try:
        server.log_in()
        with server.socket() as page:
            hear(page, "layers", sample=0)  # proposed before the first stroke
            truth = LabelSet.load(world.labels).samples[0].mask
            assert (layers(server, 0)["proposal"] == truth).mean() > 0.8
            page.send(stroke(0, 1, (5, 5)))
            hear(page, "saved")
    finally:
        server.kill()


def test_a_thousand_strokes_on_sixteen_images_grow_neither_time_nor_memory(world: TinyWorld, tmp_path: Path) -> None:
    labels = LabelSet.load(world.labels)
    blank = np.full((16, 16), 255, np.uint8)
    samples = tuple(labels.samples[k % 4]._replace(name=f"{k:02d}", mask=blank, origin=k) for k in range(16))
    replace(labels, samples=samples).save(tmp_path / "labels")
    server = LabellingServer(tmp_path / "labels", world.checkpoint, tmp_path / "log.txt")
    process, rng = psutil.Process(server.process.pid), np.random.default_rng(0)
    seconds, memory = [], []
    try:
        server.log_in()
        with server.socket(max_queue=None) as page:
            for k in range(1000):
                points = [tuple(p) for p in rng.uniform(0, 16, (int(rng.integers(1, 30)), 2)).round(1).tolist()]
                started = time.perf_counter()
                page.send(stroke(int(rng.integers(16)), int(rng.integers(2)), *points, identity=f"m{k}"))
                hear(page, "saved", id=f"m{k}")
                seconds.append(time.perf_counter() - started)
                memory.append(process.memory_info().rss)
                time.sleep(0.002)
    finally:
        server.kill()
    assert np.median(seconds[-200:]) < 3 * np.median(seconds[100:300]) + 0.02
    assert memory[-1] - memory[200] < 40 * 2**20


def test_a_second_tab_is_told_and_may_take_over(running: LabellingServer) -> None:
    with running.socket() as first, running.socket() as second:
        assert hear(first, "editor")["editor"]
        assert not hear(second, "editor")["editor"]
        second.send(stroke(1, 0, (3, 3), identity="no"))
        assert "another tab" in hear(second, "refused", id="no")["why"]
        second.send('{"type": "take_over"}')
        assert hear(second, "editor")["editor"]
        assert not hear(first, "editor")["editor"]
        second.send(stroke(1, 0, (3, 3), identity="yes"))
        hear(second, "saved", id="yes")


def test_killed_between_strokes_nothing_is_lost(world: TinyWorld, tmp_path: Path) -> None:
    labels = blank_labels(world, tmp_path / "labels")
    for k in range(3):
        server = LabellingServer(labels, world.checkpoint, tmp_path / f"log{k}.txt")
        server.log_in()
        assert json.loads(server.ask("GET", "/api/state")[2])["revision"] == k
        with server.socket() as page:
            page.send(stroke(k, 1, (5, 5), identity=f"k{k}"))
            hear(page, "saved", id=f"k{k}")
            server.kill()
    server = LabellingServer(labels, world.checkpoint, tmp_path / "last.txt")
    try:
        server.log_in()
        assert [(layers(server, k)["mask"] == 1).any() for k in range(4)] == [True, True, True, False]
    finally:
        server.kill()


def test_only_its_own_page_is_answered(running: LabellingServer) -> None:
    own = running.origin
    good, port = running.cookie, running.port
    cases: list[tuple[str, str, str, dict[str, str]]] = [
        ("no cookie", "GET /api/state", "", {}),
        ("a wrong cookie", "GET /api/state", good[:-3] + "xyz", {}),
        ("a used token", f"GET {running.address.partition(str(port))[2]}", "", {}),
        ("a wrong token", "GET /?token=abc", "", {}),
        ("another origin", "GET /api/state", good, {"origin": "http://evil.example"}),
        ("another port", "GET /api/state", good, {"origin": "http://127.0.0.1:1"}),
        ("null origin", "POST /api/finish", good, {"origin": "null"}),
        ("no origin", "POST /api/finish", good, {}),
        ("rebinding", "GET /api/state", good, {"host": f"evil.example:{port}"}),
        ("no port", "GET /api/state", good, {"host": "127.0.0.1"}),
        ("another site", "GET /api/state", good, {"sec_fetch_site": "cross-site"}),
        ("a large body", "POST /api/finish", good, {"origin": own, "content_length": str(2**30)}),
    ]
    for what, request, cookie, headers in cases:
        method, path = request.split(" ")
        status, answered, _ = running.ask(method, path, cookie=cookie, **headers)
        assert status in (403, 413), what
        assert "set-cookie" not in answered, what
    assert running.log.read_text().count("refused") >= len(cases)
    assert running.ask("GET", "/api/state")[0] == 200


def test_no_path_of_a_client_becomes_a_file(running: LabellingServer) -> None:
    for path in (
        "/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd", "/etc/passwd",
        "/static/js/../../desk.py",
        "/static/js/main.js%00", "/..", "//etc/passwd", "/static/js/", "/static/index.html/", "/api/image/../state.png",
    ):  # fmt: skip
        status, _, body = running.ask("GET", path)
        assert status in (400, 404), path
        assert b"root:" not in body
        assert b"import" not in body
    for path in ("/api/image/4.png", "/api/layers/99999999999999999999", "/api/image/-1.png", "/api/gallery/77.png"):
        assert running.ask("GET", path)[0] in (400, 404), path


def test_answers_forbid_what_the_page_does_not_need(running: LabellingServer) -> None:
    for path in ("/", "/static/js/main.js", "/api/state", "/nothing"):
        _, headers, _ = running.ask("GET", path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert b"<script>" not in running.ask("GET", "/")[2]
    _, headers, _ = running.ask("GET", running.address.partition(str(running.port))[2])  # its cookie is known
    assert "httponly" in headers["set-cookie"].lower()
    assert "samesite=strict" in headers["set-cookie"].lower()


def test_sockets_of_others_are_refused(running: LabellingServer) -> None:
    from websockets.exceptions import InvalidStatus

    for headers in ({"Origin": "http://evil.example"}, {"Origin": None}, {"Cookie": "labelfactory=1"}):
        with pytest.raises(InvalidStatus), running.socket(**headers):
            pass


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "7", "null", "{", '{"type": 5}', '{"type": "stroke"}', '{"type": "open", "sample": "0"}',
        '{"type": "open", "sample": true}', '{"type": "stroke", "sample": 99, "event": {}}',
        '{"type": "stroke", "sample": 0, "event": {"tool": "brush", "points": [[NaN, 0]]}}',
        '{"type": "stroke", "sample": 0, "event": {"tool": "brush", "points": [[1e999, 0]]}}',
        '{"type": "stroke", "sample": 0, "event": {"tool": "brush", "value": 200, "points": [[0, 0]]}}',
        '{"type": "stroke", "sample": 0, "event": {"tool": "brush", "points": "no", "size": []}}',
        '{"type": "stroke", "sample": 0, "event": {"tool": "pixels", "runs": [[1, 0, 999999]]}}',
        '{"type": "fill", "sample": 0, "value": -1, "point": [1, 1]}', '{"type": "fill", "sample": 0, "value": 1}',
        '{"type": "accept", "sample": 3, "what": "everything"}', "[" * 5000,
    ],
)  # fmt: skip
def test_malformed_messages_change_nothing(running: LabellingServer, text: str) -> None:
    folder = running.log.parent / "labels"
    before = tree(folder)
    with running.socket() as page:
        page.send(text)
        assert len(hear(page, "refused")["why"]) <= 300
    assert tree(folder) == before


def test_a_flood_ends_the_socket_and_not_the_server(running: LabellingServer) -> None:
    from websockets.exceptions import ConnectionClosed

    def say(*messages: str) -> None:
        with running.socket() as page:
            for message in messages:
                page.send(message)
            while True:
                page.recv(timeout=30)

    for messages in (['{"type": "open", "sample": 0}'] * 5000, ["x" * (2**20 + 10)]):
        with pytest.raises(ConnectionClosed):
            say(*messages)
    assert running.ask("GET", "/api/state")[0] == 200


def test_a_body_without_a_length_is_cut_off(running: LabellingServer) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as raw:
        head = f"POST /api/finish HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nOrigin: {running.origin}\r\n"
        raw.sendall(f"{head}Cookie: {running.cookie}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(200):
                raw.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        except OSError:
            pass  # it has closed: what is asked below is whether it lives
    assert running.ask("GET", "/api/state")[0] == 200


def test_a_folder_that_is_being_labelled_is_not_opened_twice(running: LabellingServer, factory: Any) -> None:
    result = factory("label", running.log.parent / "labels")
    assert result.code == 2
    assert "another process" in result.err
