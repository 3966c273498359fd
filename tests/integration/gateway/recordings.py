"""Forms with a recording in them, and what a gateway holds while they are on their way."""

import io
import os
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import msgspec

from tests.integration.gateway.harness import MODEL

SPEECH = msgspec.structs.replace(MODEL, id="org/whisper", names=("org/whisper", "whisper-1"), task="transcribe")
TRANSCRIPTIONS = "/v1/audio/transcriptions"
BOUNDARY = b"moorage-test"
FORM_TYPE = {"Content-Type": "multipart/form-data; boundary=moorage-test"}


def speech(content: bytes = b"RIFF", **fields: str) -> aiohttp.FormData:
    """As the client library makes it, the model last."""
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(content), filename="speech.wav", content_type="audio/wav")
    for name, value in fields.items():
        form.add_field(name, value)
    return form


def part(name: str, value: bytes, filename: str | None = None, headers: bytes = b"") -> bytes:
    kind = f'; filename="{filename}"'.encode() if filename is not None else b""
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n%b\r\n' % (BOUNDARY, name.encode(), kind, headers)
    return head + value + b"\r\n"


def form(fields: Mapping[str, bytes], content: bytes = b"RIFF", *, file_first: bool = False) -> bytes:
    parts = [part(name, value) for name, value in fields.items()]
    file = part("file", content, "speech.wav")
    return b"".join([file, *parts] if file_first else [*parts, file]) + b"--%b--\r\n" % BOUNDARY


def spooled(folder: Path) -> int:
    """How many files below `folder` this process has open, those without a name too."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{descriptor}").startswith(f"{folder}/")
        except FileNotFoundError:
            continue
    return found
