"""Calls of the speech routes, checked for what every good answer has."""

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.contract.openai_schema import validate
from tests.integration.runtimes.runtime import TOKEN, Answer, Runtime, UnixConnection

TRANSCRIBE, TRANSLATE = "/v1/audio/transcriptions", "/v1/audio/translations"
BOUNDARY = "moorage-test"
BECKETT = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
"""Samuel Beckett, Worstward Ho, 1983."""
STOP_S = 3.0
"""The promise is a second, or one step of the model; the machine that runs this may be busy."""


def part(name: str, value: bytes, filename: str | None = None, headers: bytes = b"") -> bytes:
    kind = f'; filename="{filename}"'.encode() if filename is not None else b""
    return b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n%b\r\n%b\r\n' % (
        BOUNDARY.encode(), name.encode(), kind, headers, value,
    )  # fmt: skip


def form(content: bytes | None, fields: Iterable[tuple[str, str]] = ()) -> bytes:
    parts = [part(name, value.encode()) for name, value in fields]
    if content is not None:
        parts.append(part("file", content, "speech.wav"))
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


class Speech(Runtime):
    """A speech runtime, which is sent forms."""

    def send(
        self, path: str, body: bytes, content_type: str = f"multipart/form-data; boundary={BOUNDARY}"
    ) -> UnixConnection:
        """A call whose answer nobody reads yet."""
        connection = UnixConnection(self.settings.socket)
        connection.request("POST", path, body, {"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type})
        return connection

    def upload(self, body: bytes, path: str = TRANSCRIBE, **more: str) -> Answer:
        connection = self.send(path, body, **more)
        try:
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def transcribe(self, content: bytes, *fields: tuple[str, str], path: str = TRANSCRIBE, **named: str) -> Answer:
        return self.upload(form(content, [*fields, *named.items()]), path)

    def begun(self, head: bytes, length: int) -> socket.socket:
        """A call that says it has `length` bytes, and sent `head` of them."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.settings.socket)
        connection.sendall(
            f"POST {TRANSCRIBE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
            f"content-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {length}\r\n\r\n".encode()
            + head
        )
        return connection

    def value(self, name: str) -> float:
        return self.metric(f"moorage_runtime_{name}")

    def spooled(self, folder: Path) -> int:
        """How many files below `folder` it has open, those without a name too."""
        found = 0
        for descriptor in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                found += os.readlink(f"/proc/{self.pid}/fd/{descriptor}").startswith(f"{folder}/")
            except FileNotFoundError:
                continue
        return found


def text(answer: Answer) -> str:
    assert answer.status == 200, answer.content
    validate("CreateTranscriptionResponseJson", answer.body)
    return answer.body["text"]


def refused(answer: Answer, param: str | None = None, code: str | None = None, status: int = 400) -> str:
    """The message."""
    assert answer.status == status, answer.content
    validate("ErrorResponse", answer.body)
    if param is not None:
        assert answer.error["param"] == param, answer.error
    if code is not None:
        assert answer.error["code"] == code, answer.error
    return answer.error["message"]


def events(answer: Answer) -> tuple[str, dict[str, Any]]:
    """A stream's deltas joined, and its last event."""
    *deltas, done = answer.chunks
    assert str(answer.headers["content-type"]).startswith("text/event-stream")
    for delta in deltas:
        validate("TranscriptTextDeltaEvent", delta)
    # The published event counts tokens only; what is counted here is published for replies that are no streams.
    validate("TranscriptTextDoneEvent", {name: value for name, value in done.items() if name != "usage"})
    validate("TranscriptTextUsageDuration", done["usage"])
    return "".join(delta["delta"] for delta in deltas), done
