"""The adapter of faster-whisper, which runs embedded: our own host around CTranslate2, one process a replica."""

import importlib.util
import io
import tempfile
import wave
from collections.abc import Mapping

from moorage.core.facts import ModelFacts
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded
from moorage.engines.shared_signatures import SIGNATURES as SHARED
from moorage.engines.signatures import diagnose
from moorage.engines.whisper_fitting import fit, memory
from moorage.engines.whisper_signatures import OTHERWISE, SIGNATURES
from moorage.errors import EngineError
from moorage.wire.control import Load, Machine
from moorage.wire.runtime import SpeechSettings

CONVERT = (
    "ct2-transformers-converter --model FOLDER --output_dir FOLDER-ct2 --quantization int8 "
    "--copy_files tokenizer.json preprocessor_config.json"
)
EXTRA_ARGS = ("beam_size", "compute_type", "max_audio_s", "max_upload_bytes", "niceness")
"""Fields of SpeechSettings that options.extra_args may set."""
ENVIRONMENT = {
    **embedded.ENVIRONMENT_OF_ARRAYS,
    # Weights are never fetched behind our back.
    "HF_HUB_OFFLINE": "1",
}
BOUNDARY = "moorage-readiness"


class FasterWhisper:
    name = "faster-whisper"
    proven = "faster-whisper 1.2.1"
    metrics_path = "/metrics"
    cancels_unary = True
    echoes_model = True
    """No reply of speech names a model."""

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        if facts.architecture == "whisper" and facts.format != "ctranslate2":
            return Support(
                ok=False,
                why=f"it runs Whisper models of CTranslate2, this one is {facts.format}: name a converted one, such as "
                f"Systran/faster-whisper-small, or convert it where transformers and torch are installed: {CONVERT}",
            )
        if facts.format != "ctranslate2" or facts.task != "transcribe":
            return Support(ok=False, why=f"it runs Whisper models of CTranslate2, this one is {facts.format}")
        if importlib.util.find_spec("faster_whisper") is None:
            return embedded.absent(self.name)
        if refusal := embedded.no_room(memory(facts, 1).total_bytes, machine):
            return refusal
        hears = "English" if facts.languages == ("en",) else f"{len(facts.languages)} languages"
        return Support(ok=True, why=f"transcribes {hears} on the CPU", rank=embedded.RANK)

    def launch(self, order: LaunchOrder) -> Launch:
        spec, facts = order.model, order.facts
        if spec.task not in ("auto", "transcribe"):
            raise EngineError(
                f"model {spec.name!r} is to transcribe speech: set its task to transcribe, not {spec.task}"
            )
        chosen = fit(spec, facts, order.machine)
        settings = SpeechSettings(
            socket=order.socket,
            token=order.token,
            model_path=facts.path,
            served_name=spec.name,
            task="transcribe",
            threads=chosen.threads,
            max_calls=chosen.max_calls,
            spool_dir=order.spool_dir or tempfile.gettempdir(),
        )
        settings = embedded.with_extra_args(settings, spec, EXTRA_ARGS, self.name)
        return embedded.launch(
            "whisper",
            settings,
            capacity=chosen.max_calls,
            max_model_len=None,
            memory=chosen.memory,
            why=(*chosen.why, embedded.niceness_why(settings.niceness)),
            env=ENVIRONMENT,
        )

    def probe(self, launch: Launch) -> Probe:
        """A tenth of a second of silence, all the way through."""
        part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'
        head = f'{part}model"\r\n\r\n{launch.served_name}\r\n{part}file"; filename="silence.wav"\r\n\r\n'
        body = head.encode() + silence() + f"\r\n--{BOUNDARY}--\r\n".encode()
        return Probe("POST", "/v1/audio/transcriptions", body, f"multipart/form-data; boundary={BOUNDARY}")

    def observe(self, metrics: Mapping[str, float]) -> Load:
        # Steps move with each window, seconds where a recording is read that has no speech.
        return embedded.load(metrics, embedded.STEPS, "moorage_runtime_audio_seconds_total")

    def diagnose(self, log: str) -> Diagnosis | None:
        return diagnose(log, (*SIGNATURES, *SHARED, *OTHERWISE))


def silence() -> bytes:
    """A WAV file of a tenth of a second."""
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(16_000)
        recording.writeframes(bytes(3200))
    return file.getvalue()
