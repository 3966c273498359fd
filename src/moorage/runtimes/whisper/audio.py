"""Recordings of any kind as the samples the model hears. The one place where FFmpeg, through PyAV, is called.

A recording is untrusted: only containers that hold their sound themselves are opened, no reference to another file or
address is ever followed, and what cannot be decoded is refused or skipped.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.error import FFmpegError, InvalidDataError
from numpy.typing import NDArray

from moorage.errors import BadRequest
from moorage.wire.api.audio import FILE

Samples = NDArray[np.float32]
"""One channel, SAMPLE_RATE a second, -1 to 1, all finite."""

SAMPLE_RATE = 16_000
PIECE_SAMPLES = 5 * SAMPLE_RATE
RATES = range(1000, 768_001)
"""Samples a second of a recording; beyond, making 16,000 of them takes memory without end."""
CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,asf,au,avi,caf,eac3,flac,flv,loas,matroska,webm,mov,mp3,mp4,mpeg,mpegts,ogg,voc,"
    "w64,wav,wv"
)
"""FFmpeg's names of formats; playlists, lists of files and descriptions of network sessions are not among them."""
KNOWN = "wav, mp3, m4a, mp4, mpeg, webm, ogg, opus, flac, aac, aiff and others that FFmpeg reads as audio"
OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none", "enable_drefs": "0"}


def samples(file: BinaryIO, limit_s: float) -> Iterator[Samples]:
    """The sound of `file` from its start, in pieces of about five seconds. Raises BadRequest.

    A file that is cut is heard as far as it goes, and what is damaged in the middle is left out.
    """
    pieces: list[Samples] = []
    held = total = 0
    try:
        with _opened(file) as container:
            stream = _sound(container, limit_s)
            for piece in _converted(_frames(container, stream)):
                pieces.append(piece)
                held += len(piece)
                total += len(piece)
                _check_length(total / SAMPLE_RATE, limit_s)
                if held >= PIECE_SAMPLES:
                    yield np.concatenate(pieces)
                    pieces, held = [], 0
    except FFmpegError as error:
        raise BadRequest(f"{FILE}: cannot be decoded: {_text(error)}", param=FILE, code="invalid_audio") from error
    if not total:
        raise BadRequest(f"{FILE}: there is no sound in it, its length is 0", param=FILE, code="invalid_audio")
    if pieces:
        yield np.concatenate(pieces)


def _opened(file: BinaryIO) -> InputContainer:
    try:
        return av.open(file, "r", options=OPTIONS, metadata_errors="replace", io_open=_refuse)
    except (FFmpegError, ValueError) as error:
        raise BadRequest(
            f"{FILE}: is no recording, or damaged beyond reading; send {KNOWN}", param=FILE, code="invalid_audio"
        ) from error


def _refuse(url: str, _flags: int, _options: dict[str, Any]) -> BinaryIO:
    raise PermissionError(f"a recording may not refer to {url[:100]!r}")


def _sound(container: InputContainer, limit_s: float) -> AudioStream:
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream) or not getattr(stream, "codec_context", None):
        kinds = ", ".join(sorted({stream.type for stream in container.streams} - {"audio"}))
        what = f"only {kinds}" if kinds else "or none that can be decoded"
        raise BadRequest(f"{FILE}: has no sound, {what}", param=FILE, code="invalid_audio")
    if container.duration is not None:
        _check_length(container.duration / av.time_base, limit_s)
    return stream


def _check_length(seconds: float, limit_s: float) -> None:
    if seconds > limit_s:
        raise BadRequest(
            f"{FILE}: the recording is longer than {limit_s:g} s, the most this model takes "
            "(options.extra_args.max_audio_s): cut it into parts",
            param=FILE,
            code="audio_too_long",
        )


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except InvalidDataError:
            # The container breaks off here.
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except InvalidDataError:
            continue


def _converted(frames: Iterator[AudioFrame]) -> Iterator[Samples]:
    """Frames may change their rate or channels on the way, as in radio recordings."""
    resampler, kind = None, None
    for frame in frames:
        # Parts that follow each other are heard so, whatever clock they carry.
        frame.pts = None
        _check_rate(frame.sample_rate)
        found = (frame.sample_rate, frame.layout.name, frame.format.name)
        if resampler is None or found != kind:
            yield from _resampled(resampler, None)
            resampler, kind = AudioResampler("flt", "mono", SAMPLE_RATE), found
        yield from _resampled(resampler, frame)
    yield from _resampled(resampler, None)


def _check_rate(rate: int) -> None:
    if rate not in RATES:
        what = f"has {rate} samples a second; a recording has {RATES.start} to {RATES.stop - 1}"
        raise BadRequest(f"{FILE}: {what}", param=FILE, code="invalid_audio")


def _resampled(resampler: AudioResampler | None, frame: AudioFrame | None) -> Iterator[Samples]:
    if resampler is None:
        return
    for part in resampler.resample(frame):
        if part.samples:
            yield np.clip(np.nan_to_num(part.to_ndarray().reshape(-1), nan=0.0), -1.0, 1.0).astype(np.float32)


def _text(error: FFmpegError) -> str:
    return error.strerror or type(error).__name__
