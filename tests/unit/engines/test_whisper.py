from dataclasses import replace
from typing import Any

import pytest

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import LaunchOrder
from moorage.engines.whisper import FasterWhisper
from moorage.errors import EngineError
from moorage.wire import runtime
from moorage.wire.control import Machine
from moorage.wire.runtime import SpeechSettings

GIB = 1 << 30
TINY = ModelFacts(
    path="/models/tiny.en", format="ctranslate2", task="transcribe", architecture="whisper", size_bytes=75_537_502,
    parameters=37_764_864, quantization="float16", context_length=448, layers=4, embedding_length=384, heads=6,
    vocabulary=51864, languages=("en",),
)  # fmt: skip
LARGE = replace(
    TINY, path="/models/large", size_bytes=3_087_000_000, parameters=1_543_000_000, layers=32, embedding_length=1280,
    languages=("en", "de"),
)  # fmt: skip


def machine(memory_gib: float = 24, cores: int = 6) -> Machine:
    return Machine(hostname="here", cores=cores, memory_bytes=int(memory_gib * GIB))


def order(
    facts: ModelFacts = TINY, cores: int = 6, memory_gib: float = 24, task: str = "auto", **options: Any
) -> LaunchOrder:
    spec = ModelSpec.model_validate({"name": "org/speech", "source": "x", "task": task, "options": options})
    return LaunchOrder(
        replica="r", model=spec, facts=facts, machine=machine(memory_gib, cores), socket="/run/r/engine.sock",
        token="secret", spool_dir="/state/spool",
    )  # fmt: skip


def settings(given: LaunchOrder) -> SpeechSettings:
    (content,) = FasterWhisper().launch(given).files.values()
    return runtime.decode(SpeechSettings, content)


def test_what_it_runs() -> None:
    pytest.importorskip("faster_whisper", reason="speech needs its extra")
    assert FasterWhisper().supports(TINY, machine()).why == "transcribes English on the CPU"
    assert FasterWhisper().supports(LARGE, machine()).why == "transcribes 2 languages on the CPU"


def test_what_it_does_not_run() -> None:
    engine = FasterWhisper()
    folder = engine.supports(replace(TINY, format="safetensors"), machine())
    assert not folder.ok
    assert "ct2-transformers-converter" in folder.why
    assert "Systran/faster-whisper-small" in folder.why
    other = engine.supports(replace(TINY, format="gguf", task="generate", architecture="llama"), machine())
    assert not other.ok
    assert "gguf" in other.why
    assert not engine.supports(LARGE, machine(1)).ok


def test_a_launch_hides_its_secret_and_says_why() -> None:
    launch = FasterWhisper().launch(order())
    assert "secret" not in " ".join(launch.argv)
    assert launch.argv[-1] in launch.files
    assert (launch.capacity, launch.max_model_len, launch.task) == (2, None, "transcribe")
    assert launch.env["HF_HUB_OFFLINE"] == "1"
    text = "\n".join(launch.why)
    for words in ("2 recordings at once", "3 threads a recording", "niceness 10", "about 4"):
        assert words in text, text


def test_options_win_and_are_named() -> None:
    given = order(threads=2, max_sequences=3, extra_args={"beam_size": 1, "max_audio_s": 60, "niceness": 0})
    found = settings(given)
    assert (found.threads, found.max_calls, found.beam_size, found.max_audio_s, found.niceness) == (2, 3, 1, 60.0, 0)
    assert found.spool_dir == "/state/spool"
    text = "\n".join(FasterWhisper().launch(given).why)
    for name in ("options.threads", "options.max_sequences"):
        assert name in text, text


def test_options_without_meaning_are_named() -> None:
    why = FasterWhisper().launch(order(max_model_len=448, kv_cache_dtype="q8_0")).why
    assert "options.max_model_len is not used: speech has no such thing" in why
    assert "options.kv_cache_dtype is not used: speech has no such thing" in why


def test_one_core_is_enough() -> None:
    assert settings(order(cores=1)).threads == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (order(task="embed"), "set its task to transcribe"),
        (order(extra_args={"beams": 3}), "options.extra_args.beams"),
        (order(extra_args={"beam_size": "many"}), "beam_size"),
        (order(extra_args={"niceness": -5}), "niceness"),
        (order(LARGE, memory_gib=3, max_sequences=20), "options.max_sequences"),
    ],
)
def test_wishes_that_do_not_fit(given: LaunchOrder, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        FasterWhisper().launch(given)


def test_the_probe_is_a_recording() -> None:
    engine = FasterWhisper()
    probe = engine.probe(engine.launch(order()))
    assert (probe.method, probe.path) == ("POST", "/v1/audio/transcriptions")
    assert probe.content_type.startswith("multipart/form-data; boundary=")
    assert probe.body is not None
    assert b"org/speech" in probe.body
    assert b"RIFF" in probe.body


def test_metrics_that_are_missing_are_unknown() -> None:
    engine = FasterWhisper()
    assert engine.observe({}).progress is None
    scrape = {
        "moorage_runtime_running": 1.0, "moorage_runtime_queued": 2.0, "moorage_runtime_steps_total": 4.0,
        "moorage_runtime_audio_seconds_total": 60.5,
    }  # fmt: skip
    load = engine.observe(scrape)
    assert (load.running, load.queued, load.progress) == (1, 2, 64.5)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("moorage: '/x' has no tokenizer.json: put that of the original model there", "tokenizer.json"),
        ("moorage: CTranslate2 cannot load /x: Unable to open file 'model.bin' in model '/x'", "damaged"),
        ("Unsupported model binary version. This executable supports", "version"),
        ("Requested float16 compute type, but the target device", "float16"),
        ("moorage: another process listens on /x: stop it", "socket is taken"),
        ("ModuleNotFoundError: No module named 'faster_whisper'", "not installed"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "not enough memory"),
        ("moorage: something new", "something new"),
    ],
)
def test_known_causes(log: str, words: str) -> None:
    diagnosis = FasterWhisper().diagnose(f"some line\n{log}\n")
    assert diagnosis is not None
    assert words in diagnosis.cause
    assert diagnosis.fix


def test_an_unknown_cause_is_none() -> None:
    assert FasterWhisper().diagnose("moorage: loading x\nall is well") is None
