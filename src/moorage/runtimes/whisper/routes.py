"""The routes over one loaded model."""

from moorage.runtimes.host.app import App
from moorage.runtimes.host.asgi import Receive, Scope, Send, while_connected
from moorage.runtimes.host.metrics import exposition, samples
from moorage.runtimes.whisper.jobs import Job, Jobs
from moorage.runtimes.whisper.orders import order
from moorage.runtimes.whisper.reply import stream, whole
from moorage.runtimes.whisper.upload import Upload
from moorage.wire.api.audio import TranscriptionRequest, TranslationRequest
from moorage.wire.api.form import decode_form


class Routes:
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._settings = jobs.settings
        self._uploading = 0

    def app(self) -> App:
        return App(
            self._settings,
            max_model_len=None,
            scrape=self._metrics,
            posts={},
            uploads={"/v1/audio/transcriptions": self._transcribe, "/v1/audio/translations": self._translate},
        )

    async def _transcribe(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(TranscriptionRequest, scope, receive, send)

    async def _translate(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(TranslationRequest, scope, receive, send)

    async def _answer(
        self, kind: type[TranscriptionRequest] | type[TranslationRequest], scope: Scope, receive: Receive, send: Send
    ) -> None:
        with Upload(self._settings.spool_dir, self._settings.max_upload_bytes) as upload:
            self._uploading += 1
            try:
                await upload.receive(scope, receive)
            finally:
                self._uploading -= 1
            request = decode_form(kind, upload.fields)
            wanted = order(request, self._jobs.library.languages, request.model or self._settings.served_name)
            job = Job(self._jobs, upload.taken(), wanted)
        work = stream(send, job) if request.stream else whole(send, job, request)
        await while_connected(receive, work)

    async def _metrics(self) -> str:
        jobs = self._jobs
        calls = samples(jobs.counters, running=len(jobs.running), queued=jobs.queued, slots=self._settings.max_calls)
        return exposition(
            [
                *calls,
                ("gauge", "uploading", "Recordings that arrive", self._uploading),
                ("counter", "steps_total", "Windows encoded and tries of decoding them", jobs.steps),
                ("counter", "audio_seconds_total", "Seconds of recordings read", jobs.audio_s),
            ]
        )
