"""One recording's reply: whole, or as server-sent events while it is heard."""

from contextlib import aclosing

from moorage.errors import MoorageError
from moorage.runtimes.host.asgi import Send, encode, reply, start_events
from moorage.runtimes.whisper.formats import TYPES, written
from moorage.runtimes.whisper.jobs import Job
from moorage.wire.api.audio import DurationUsage, TextDelta, TextDone, TranscriptionRequest, TranslationRequest
from moorage.wire.sse import DONE, event


async def whole(send: Send, job: Job, request: TranscriptionRequest | TranslationRequest) -> None:
    async with aclosing(job.heard()) as arriving:
        heard = [each async for each in arriving]
    wanted = request.timestamp_granularities if isinstance(request, TranscriptionRequest) else None
    body = written(
        request.response_format,
        heard,
        task=job.order.task,
        language=job.language,
        duration_s=job.duration_s,
        granularities=wanted or ("segment",),
    )
    await reply(send, 200, body, TYPES[request.response_format])


async def stream(send: Send, job: Job) -> None:
    """Nothing is sent before there is text, so that what fails earlier is an error with its status."""
    text = sent = ""
    started = False
    try:
        async with aclosing(job.heard()) as arriving:
            async for each in arriving:
                text += each.segment.text
                said = text.strip()
                if len(said) == len(sent):
                    continue
                if not started:
                    await start_events(send)
                    started = True
                data = event(encode(TextDelta(delta=said[len(sent) :])))
                sent = said
                await send({"type": "http.response.body", "body": data, "more_body": True})
    except MoorageError as error:
        if not started:
            raise
        await send({"type": "http.response.body", "body": event(encode(error.openai()))})
        return
    if not started:
        await start_events(send)
    done = TextDone(text=sent, usage=DurationUsage(seconds=round(job.duration_s, 3)))
    await send({"type": "http.response.body", "body": event(encode(done)) + DONE})
