"""Recordings made for tests: containers and codecs by PyAV, odd WAV files by hand."""

import io
import struct
import wave
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

RATE = 16_000
Samples = NDArray[np.float32]


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE), np.float32)


def noise(seconds: float, loudness: float) -> Samples:
    return np.random.default_rng(0).normal(0, loudness, int(seconds * RATE)).astype(np.float32)


def wav(samples: Samples, rate: int = RATE) -> bytes:
    """One channel of 16 bits."""
    return riff((samples * 32767).astype("<i2").tobytes(), rate=rate)


def riff(data: bytes, *, kind: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16) -> bytes:
    """A WAV file whose header says just this, possible or not. `kind` 1 is integers, 3 floats."""
    width = min(channels * bits // 8, 65535)
    chunk = struct.pack("<IHHIIHH", 16, kind, channels, rate, min(rate * width, 2**32 - 1), width, bits)
    size = struct.pack("<I", 36 + len(data))
    return b"RIFF" + size + b"WAVEfmt " + chunk + b"data" + struct.pack("<I", len(data)) + data


def samples_of(content: bytes) -> Samples:
    """Of a 16-bit WAV file of one channel, as ours are."""
    with wave.open(io.BytesIO(content)) as recording:
        assert (recording.getnchannels(), recording.getsampwidth()) == (1, 2)
        data = recording.readframes(recording.getnframes())
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)


def _writer(file: io.BytesIO, container: str) -> Any:
    """PyAV's types are partial for what is written."""
    return av.open(file, "w", format=container)


def encoded(
    samples: Samples, container: str, codec: str, rate: int, layout: str = "mono", *, film: bool = False
) -> bytes:
    """`samples` in another container, codec, rate and number of channels; with `film`, pictures beside the sound."""
    file = io.BytesIO()
    with _writer(file, container) as out:
        pictures = out.add_stream("mpeg4", rate=25) if film else None
        sound = out.add_stream(codec, rate=rate)
        sound.layout = layout
        if pictures is not None:
            pictures.width = pictures.height = 64
            for _ in range(25):
                out.mux(pictures.encode(av.VideoFrame(64, 64, "yuv420p")))
            out.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None, :], format="s16", layout="mono")
        frame.sample_rate = RATE
        context = sound.codec_context
        resampler = AudioResampler(context.format.name, layout, rate, frame_size=context.frame_size or 0)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            piece.pts = None
            out.mux(sound.encode(piece))
        out.mux(sound.encode(None))
    return file.getvalue()


def film_without_sound() -> bytes:
    file = io.BytesIO()
    with _writer(file, "mp4") as out:
        pictures = out.add_stream("mpeg4", rate=25)
        pictures.width = pictures.height = 64
        for _ in range(25):
            out.mux(pictures.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(pictures.encode(None))
    return file.getvalue()
