"""What a form asks for, held against what the model can do."""

from collections.abc import Sequence

from moorage.errors import BadRequest
from moorage.runtimes.whisper.languages import ENGLISH, code, name
from moorage.runtimes.whisper.library import Task
from moorage.runtimes.whisper.transcriber import Order
from moorage.wire.api.audio import SpeechRequest, TranscriptionRequest, TranslationRequest, VoiceDetection

STREAMED = ("json", "text")


def order(request: TranscriptionRequest | TranslationRequest, languages: Sequence[str], model: str) -> Order:
    """`languages` are the codes the model knows. Raises BadRequest that says what cannot be done, and why."""
    _check_reply(request)
    spoken = _known(request.language, "language", languages, model) if request.language else None
    hotwords, among = [request.hotwords or ""], list[str]()
    if isinstance(request, TranscriptionRequest):
        hotwords += request.keywords or ()
        among = [_known(each, "languages", languages, model) for each in request.languages or ()]
    detection = request.chunking_strategy
    return Order(
        task=_task(request, spoken, languages, model),
        language=spoken or (among[0] if len(among) == 1 else None),
        among=among,
        prompt=request.prompt,
        hotwords=", ".join(filter(None, map(str.strip, hotwords))) or None,
        temperature=request.temperature or 0.0,
        words=isinstance(request, TranscriptionRequest) and "word" in (request.timestamp_granularities or ()),
        everything=request.vad_filter is False,
        detection=detection if isinstance(detection, VoiceDetection) else None,
    )


def _check_reply(request: TranscriptionRequest | TranslationRequest) -> None:
    if request.stream and request.response_format not in STREAMED:
        raise BadRequest(
            f"stream works with response_format {' or '.join(STREAMED)}, not {request.response_format}: "
            "leave stream out, or take one of these",
            param="stream",
            code="unsupported_value",
        )
    if not isinstance(request, TranscriptionRequest):
        return
    if request.include:
        raise BadRequest(
            "include: this engine tells no log probabilities of single tokens; verbose_json has those of segments",
            param="include",
            code="unsupported_value",
        )
    if request.timestamp_granularities is not None and request.response_format != "verbose_json":
        raise BadRequest(
            "timestamp_granularities works with response_format verbose_json, not "
            f"{request.response_format}: srt and vtt have the times of segments anyway",
            param="timestamp_granularities",
            code="unsupported_value",
        )


def _task(request: SpeechRequest, spoken: str | None, languages: Sequence[str], model: str) -> Task:
    translate = isinstance(request, TranslationRequest)
    wanted = code(request.to_language, "to_language") if request.to_language else None
    param = "to_language" if wanted else "model"
    if wanted is None and not translate:
        return "transcribe"
    if wanted not in (None, ENGLISH):
        if wanted == spoken and not translate:
            return "transcribe"
        raise BadRequest(
            f"to_language: Whisper models translate into English only, not into {name(wanted)}: translate the English "
            "text with a chat model",
            param="to_language",
            code="unsupported_language",
        )
    if not _english_only(languages):
        return "transcribe" if spoken == ENGLISH else "translate"
    if not translate:
        return "transcribe"
    raise BadRequest(
        f"model {model!r} cannot translate: it knows English only; transcribe with it, or use a multilingual Whisper "
        "model (one whose name does not end in .en)",
        param=param,
        code="unsupported_task",
    )


def _known(said: str, param: str, languages: Sequence[str], model: str) -> str:
    found = code(said, param)
    if found in languages:
        return found
    knows = "it knows English only" if _english_only(languages) else "it does not know that language"
    raise BadRequest(
        f"{param}: model {model!r} cannot hear {name(found)}: {knows}; use a multilingual Whisper model",
        param=param,
        code="unsupported_language",
    )


def _english_only(languages: Sequence[str]) -> bool:
    return list(languages) == [ENGLISH]
