"""Recordings of every kind: containers, rates, silence, damage, and what is none at all."""

import socket
import threading

import numpy as np
import pytest

pytest.importorskip("faster_whisper", reason="speech needs its extra: pip install 'moorage[speech]'")

from tests.integration.runtimes.speech.client import BECKETT, Speech, refused, text
from tests.integration.runtimes.speech.recordings import (
    encoded,
    film_without_sound,
    noise,
    riff,
    samples_of,
    silence,
    wav,
)

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(
    ("container", "codec", "rate", "layout"),
    [
        ("mp3", "libmp3lame", 44100, "stereo"),
        ("ogg", "libopus", 48000, "mono"),
        ("webm", "libopus", 48000, "stereo"),
        ("flac", "flac", 44100, "mono"),
        ("ipod", "aac", 44100, "stereo"),
        ("adts", "aac", 16000, "mono"),
        ("mpegts", "aac", 44100, "mono"),
        ("wav", "pcm_s24le", 8000, "stereo"),
        ("wav", "pcm_f32le", 44100, "mono"),
        ("wav", "pcm_s16le", 48000, "7.1"),
        ("wav", "pcm_mulaw", 16000, "mono"),
        ("aiff", "pcm_s16be", 22050, "mono"),
    ],
)
def test_containers_codecs_rates(
    speech: Speech, beckett: bytes, container: str, codec: str, rate: int, layout: str
) -> None:
    heard = text(speech.transcribe(encoded(samples_of(beckett), container, codec, rate, layout)))
    plain = [word.strip(".,").lower() for word in heard.split()]
    assert plain == [word.strip(".").lower() for word in BECKETT.split()], heard


def test_a_film_is_heard(speech: Speech, beckett: bytes) -> None:
    film = encoded(samples_of(beckett), "mp4", "aac", 44100, film=True)
    assert "fail better" in text(speech.transcribe(film)).lower()


@pytest.mark.parametrize("seconds", [0.001, 0.05, 1, 30, 95])
def test_silence_is_no_text(speech: Speech, seconds: float) -> None:
    answer = speech.transcribe(wav(silence(seconds)), response_format="verbose_json")
    assert answer.status == 200
    assert (answer.body["text"], answer.body["segments"]) == ("", [])
    assert answer.body["duration"] == pytest.approx(seconds, abs=0.001)
    assert speech.transcribe(wav(silence(seconds)), response_format="srt").content == b""
    assert speech.transcribe(wav(silence(seconds)), response_format="vtt").content == b"WEBVTT\n"


@pytest.mark.parametrize("loudness", [0.001, 0.01, 0.3])
def test_noise_is_no_text(speech: Speech, loudness: float) -> None:
    assert text(speech.transcribe(wav(np.clip(noise(20, loudness), -1, 1)))) == ""


def test_a_hum_is_no_text(speech: Speech) -> None:
    hum = 0.3 * np.sin(np.arange(20 * 16000, dtype=np.float32) * (2 * np.pi * 440 / 16000))
    assert text(speech.transcribe(wav(hum.astype(np.float32)))) == ""


@pytest.mark.parametrize("loudness", [0.1, 0.003])
def test_a_whisper_is_heard(speech: Speech, beckett: bytes, loudness: float) -> None:
    heard = text(speech.transcribe(wav(samples_of(beckett) * loudness)))
    assert "fail better" in heard.lower()


def test_speech_between_silences_has_its_time(speech: Speech, beckett: bytes) -> None:
    recording = np.concatenate([silence(70), samples_of(beckett), silence(40)])
    body = speech.transcribe(wav(recording), response_format="verbose_json").body
    assert body["text"] == BECKETT
    assert body["segments"][0]["start"] == pytest.approx(70, abs=0.6)
    assert body["segments"][-1]["end"] == pytest.approx(79, abs=1)


def test_numbers_that_are_none(speech: Speech, beckett: bytes) -> None:
    samples = samples_of(beckett)
    samples[100:200] = np.nan
    samples[-100:] = np.inf
    samples[-200:-150] = 1e38
    assert "try again" in text(speech.transcribe(riff(samples.tobytes(), kind=3, bits=32))).lower()
    assert text(speech.transcribe(riff((samples * np.float32(np.nan)).tobytes(), kind=3, bits=32))) == ""


@pytest.mark.parametrize("container", ["wav", "mp3", "flac", "ogg"])
def test_a_cut_recording_is_heard_as_far_as_it_goes(speech: Speech, beckett: bytes, container: str) -> None:
    codec, rate = {
        "wav": ("pcm_s16le", 16000), "mp3": ("libmp3lame", 44100), "flac": ("flac", 16000), "ogg": ("libopus", 48000),
    }[container]  # fmt: skip
    whole = encoded(samples_of(beckett), container, codec, rate)
    heard = text(speech.transcribe(whole[: len(whole) * 2 // 3]))
    assert heard.lower().startswith("ever tried")
    assert "better" not in heard


def test_a_header_that_promises_too_much(speech: Speech, beckett: bytes) -> None:
    samples = (samples_of(beckett) * 32767).astype("<i2").tobytes()
    content = bytearray(riff(samples))
    content[4:8] = content[40:44] = b"\xff\xff\xff\x7f"
    answer = speech.transcribe(bytes(content))
    # Either what is there is heard, or the length it claims is refused; both at once, and neither fails.
    assert answer.status == 200 or refused(answer, "file", "audio_too_long")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no recording"),
        (b"hello, I am a text\n" * 50, "no recording"),
        (b"%PDF-1.7\n" + bytes(1000), "no recording"),
        (bytes(100_000), "no recording"),
        (bytes(range(256)) * 200, "no recording"),
        (riff(b""), "length is 0"),
        (riff(b"\0"), "length is 0"),
        (riff(bytes(100), rate=0), "no recording"),
        (riff(bytes(100), rate=1), "1 samples a second"),
        (riff(bytes(4000), rate=2**31 - 1), "samples a second"),
        (riff(bytes(100), channels=0), "no sound"),
        (riff(bytes(65535 * 4), channels=65535), "no sound"),
        (riff(bytes(6400), channels=64), "cannot be decoded"),
        (riff(bytes(100), bits=0), "no sound"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "no recording"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:12]),
)
def test_what_is_no_recording(speech: Speech, content: bytes, words: str) -> None:
    assert words in refused(speech.transcribe(content), "file", "invalid_audio")


def test_a_film_without_sound(speech: Speech) -> None:
    assert "only video" in refused(speech.transcribe(film_without_sound()), "file", "invalid_audio")


def test_damage_is_heard_or_refused(speech: Speech, beckett: bytes) -> None:
    random = np.random.default_rng(1)
    short = samples_of(beckett)[: 2 * 16000]
    kinds = [("mp3", "libmp3lame", 44100), ("ogg", "libopus", 48000), ("ipod", "aac", 44100), ("flac", "flac", 16000)]
    for container, codec, rate in kinds:
        whole = encoded(short, container, codec, rate)
        for attempt in range(8):
            content = bytearray(whole)
            for at in random.integers(0, len(content) if attempt % 2 else 300, 20):
                content[at] = random.integers(0, 256)
            answer = speech.transcribe(bytes(content))
            assert answer.status in (200, 400), answer.content
    assert speech.get("/health").status == 200


def test_too_long(speech: Speech) -> None:
    message = refused(speech.transcribe(encoded(silence(1001), "flac", "flac", 16000)), "file", "audio_too_long")
    assert "options.extra_args.max_audio_s" in message
    assert "1000 s" in message
    hidden = bytearray(riff(bytes(2 * 1001 * 4000), rate=4000))
    hidden[40:44] = bytes(4)
    assert speech.transcribe(bytes(hidden)).status in (200, 400)


def test_nothing_is_opened_that_a_recording_names(speech: Speech) -> None:
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def accept() -> None:
            try:
                server.accept()[0].close()
                reached.set()
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{port}/a.ts"
        for content in (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{address}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile '{address}'\n",
            "ffconcat version 1.0\nfile '/etc/passwd'\n",
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
            f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{address}</BaseURL></MPD>',
        ):
            refused(speech.transcribe(content.encode()), "file", "invalid_audio")
        assert not reached.wait(0.2)
