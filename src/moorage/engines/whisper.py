"""The adapter of faster-whisper, which runs embedded: our own host around CTranslate2, one process a replica."""

import importlib.util
import io
import tempfile
import wave
from collections.abc import Mapping

from moorage.core.facts import ModelFacts
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.engines import embedded
from moorage.engines.whisper_fitting import fit, memory_bytes
from moorage.errors import EngineError
from moorage.wire.control import Load, Machine
from moorage.wire.runtime import SpeechSettings

INSTALL = "pip install 'moorage[speech]'"
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
            return Support(ok=False, why=f"it is not installed: {INSTALL}")
        if refusal := embedded.no_room(memory_bytes(facts, 1), machine):
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
        return embedded.diagnosis(log, DIAGNOSES)


def silence() -> bytes:
    """A WAV file of a tenth of a second."""
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(16_000)
        recording.writeframes(bytes(3200))
    return file.getvalue()


DIAGNOSES: embedded.Diagnoses = (
    (
        r"('[^'\n]*') has no (tokenizer\.json)",
        "the folder {0} has no {1}, without which tokens are no text",
        "Put the tokenizer.json of the original model there, or take a folder that has it",
    ),
    (
        r"[Uu]nable to open file|is incomplete|is no tokenizer that can be read|invalid payload size|"
        r"Cannot load the vocabulary|parse_error|Failed to read|is corrupted",
        "a file of the model is missing, truncated or damaged",
        embedded.AGAIN,
    ),
    (
        r"[Uu]nsupported model binary version|binary version",
        "the model is of a version of CTranslate2's format that the installed one cannot read",
        "Convert it again with a current CTranslate2, or install a newer Moorage",
    ),
    (
        r"[Rr]equested (\w+) compute type, but",
        "this machine cannot compute in {0}",
        "Leave options.extra_args.compute_type out, or set it to int8 or float32",
    ),
    (
        r"[Ii]nvalid compute type: (\w+)|compute type: (\w+)",
        "CTranslate2 knows no number format {0}",
        "Set options.extra_args.compute_type to auto, int8, int8_float32, int16, bfloat16 or float32",
    ),
    (
        r"bad_alloc|[Ff]ailed to allocate|MemoryError|[Cc]annot allocate memory",
        "there was not enough memory for the model",
        "Take a smaller model, or lower options.max_sequences",
    ),
    embedded.SOCKET_TAKEN,
    (
        r"No module named '(faster_whisper|ctranslate2|av)'",
        "the libraries for speech are not installed ({0} is missing)",
        f"Install them: {INSTALL}",
    ),
    (
        r"GLIBC_[0-9.]+' not found|libstdc\+\+",
        "the libraries for speech cannot be loaded",
        "Install Moorage again with its extra speech on a system that their wheels are made for",
    ),
    (
        embedded.LAST_WORDS,
        "{0}",
        "Correct what it names, or take another conversion of the model",
    ),
)
