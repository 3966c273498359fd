"""A server that embeds, ranks and transcribes, quick and predictable, with the faults a test asks for."""

import json
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moorage.wire.sse import DONE, event

WORDS = ("The ", "ship ", "is ", "moored ", "at ", "the ", "quay.")
MODELS = (("minilm", "embed"), ("tiny", "transcribe"), ("smol", "generate"))


@dataclass
class Behaviour:
    models: tuple[tuple[str, str | None], ...] = MODELS
    key: str = ""
    fault: str = ""
    """garbage | short | dies | status CODE | early CODE (before the body is read) | waits (before the body is read) |
    slow | plain (no stream) | drips | cut | breaks"""
    after: int = 0
    """So many calls go well before the fault."""


@dataclass
class Seen:
    """One call for work, as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def form(self) -> list[tuple[str, str, bytes]]:
        """Name, file name, content of each part."""
        boundary = re.fullmatch(r"multipart/form-data; boundary=(\S+)", self.headers["content-type"])
        assert boundary is not None
        first, *parts, last = (b"\r\n" + self.body).split(f"\r\n--{boundary[1]}".encode())
        assert (first, last) == (b"", b"--\r\n")
        found: list[tuple[str, str, bytes]] = []
        for part in parts:
            head, _, content = part.partition(b"\r\n\r\n")
            name = re.search(rb'; name="([^"]*)"', head)
            file = re.search(rb'; filename="([^"]*)"', head)
            assert name is not None
            found.append((name[1].decode(), file[1].decode() if file else "", content))
        return found

    @property
    def fields(self) -> list[tuple[str, str]]:
        return [(name, content.decode()) for name, file, content in self.form if not file]

    @property
    def recording(self) -> tuple[str, bytes]:
        return next((file, content) for name, file, content in self.form if name == "file")


class Answering:
    """Construct → start → stop; `url` is where it answers, `seen` what it was asked for."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.seen: list[Seen] = []
        self.arrived = threading.Event()
        self.may_read = threading.Event()
        """Of a server whose fault is to wait: a call is here; its body may be read now."""
        answering = self

        class Handler(_Handler):
            owner = answering

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def behave(self, **how: Any) -> None:
        self.behaviour = Behaviour(**how)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Answering

    def log_message(self, format: str, *args: Any) -> None:
        pass

    @property
    def fault(self) -> str:
        how = self.owner.behaviour
        return how.fault if len(self.owner.seen) > how.after else ""

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            self._refuse(404, "nothing here")
        elif self._may():
            rows = [{"id": name, "object": "model", "task": task} for name, task in self.owner.behaviour.models]
            self._send(200, json.dumps({"object": "list", "data": rows}).encode())

    def do_POST(self) -> None:
        how = self.owner.behaviour
        if how.fault.startswith("early"):
            # Said before the body is read, which is then let go by: a reset could overtake the answer.
            self._refuse(int(how.fault.split()[1]), "not with me")
            self.wfile.flush()
            self.rfile.read(int(self.headers["content-length"]))
            return
        if how.fault == "waits":
            self.owner.arrived.set()
            self.owner.may_read.wait(60)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.owner.seen.append(Seen(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        if not self._may():
            return
        if self.fault == "slow":
            time.sleep(60)
        elif self.fault == "dies":
            self.close_connection = True
        elif self.fault == "garbage":
            self._send(200, b"\xff\xfe nonsense")
        elif self.fault.startswith("status"):
            self._refuse(int(self.fault.split()[1]), "not now")
        else:
            self._work(self.owner.seen[-1])

    def _may(self) -> bool:
        key = self.owner.behaviour.key
        if key and self.headers["authorization"] != f"Bearer {key}":
            self._refuse(401, "the key is wrong")
            return False
        return True

    def _work(self, call: Seen) -> None:
        if self.path == "/v1/embeddings":
            self._embed(call.json)
        elif self.path == "/v2/embed":
            vectors = [[float(len(text)), 2.0] for text in call.json["texts"]]
            self._send(200, json.dumps({"id": "1", "embeddings": {"float": vectors}, "meta": {}}).encode())
        elif self.path == "/v1/rerank":
            self._rank(call.json)
        elif self.path in ("/v1/audio/transcriptions", "/v1/audio/translations"):
            self._transcribe(dict(call.fields))
        else:
            self._refuse(404, f"there is no {self.path!r} here")

    def _embed(self, body: dict[str, Any]) -> None:
        """A text's vector begins with its length; the last comes first."""
        size = body.get("dimensions", 6)
        rows = [
            {"index": index, "object": "embedding", "embedding": [float(len(text))] + [0.25] * (size - 1)}
            for index, text in enumerate(body["input"])
        ]
        if self.fault == "short":
            rows = rows[:-1]
        usage = {"prompt_tokens": sum(len(text.split()) for text in body["input"]), "total_tokens": 0}
        self._send(200, json.dumps({"data": rows[::-1], "model": body["model"], "usage": usage}).encode())

    def _rank(self, body: dict[str, Any]) -> None:
        """The more words of the query a document has, the better."""
        wanted = set(body["query"].lower().split())
        scores = [len(wanted & set(text.lower().split())) / len(wanted) for text in body["documents"]]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        results = [{"index": index, "relevance_score": scores[index]} for index in order]
        self._send(200, json.dumps({"id": "1", "results": results[: -1 if self.fault == "short" else None]}).encode())

    def _transcribe(self, fields: dict[str, str]) -> None:
        text = "".join(WORDS)
        shape = fields.get("response_format", "json")
        if fields.get("stream") != "true" or self.fault == "plain":
            bodies = {"text": f"{text}\n", "srt": f"1\n00:00:00,000 --> 00:00:02,000\n{text}\n\n"}
            kind = "text/plain; charset=utf-8" if shape in bodies and self.fault != "plain" else "application/json"
            known = bodies[shape] if kind.startswith("text") else json.dumps({"text": text, "format": shape})
            self._send(200, known.encode(), kind)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.close_connection = True
        self.end_headers()
        for number, word in enumerate(WORDS):
            if self.fault.startswith("cut") and number == 3:
                return
            if self.fault == "breaks" and number == 3:
                self._event({"error": {"message": "broken on demand", "type": "server_error"}})
                return
            self._event({"type": "transcript.text.delta", "delta": word})
            if self.fault == "drips":
                time.sleep(0.3)
        self._event({"type": "transcript.text.done", "text": text})
        self.wfile.write(DONE)

    def _event(self, value: dict[str, Any]) -> None:
        self.wfile.write(event(json.dumps(value).encode()))
        self.wfile.flush()

    def _refuse(self, status: int, message: str) -> None:
        self._send(status, json.dumps({"error": {"message": message, "type": "x", "code": None}}).encode())

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
