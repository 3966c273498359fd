"""What mistral.rs's two file formats share: its words for a model, and the kinds that are not served here."""

from typing import Any

from moorage.config.foreign.converted import Translation
from moorage.config.foreign.precision import dtype, in_situ
from moorage.config.foreign.rules import Left, Rule, Rules, Understood, becomes, nothing, understood
from moorage.config.foreign.sources import is_repository
from moorage.config.foreign.vllm_flags import sequences
from moorage.config.options import Path
from moorage.config.plain import is_list
from moorage.config.units import Unfit

_TEMPLATE = (
    "the template of the model's own files is used; options.extra_args chat-template changes it where the engine has "
    "such a flag"
)
_UQFF = "UQFF files are mistral.rs's own: the model's ordinary files are served"
_MATRYOSHKA = "a slice of a model is something only mistral.rs takes: the whole model is served"

ISQ: Rule = becomes("options.quantization", "the nearest of ours: int8 from 6 bits on, else int4", in_situ)
HINT_LENGTH: Rule = becomes("options.max_model_len", "a hint for placing layers there, a bound here")
HINT_BATCH: Rule = becomes("options.max_sequences", "a hint for placing layers there, a bound here", sequences)

WEIGHTS: Rules = {
    "dtype": becomes("options.dtype", "", dtype),
    "arch": understood("read from the files"),
    "topology": nothing("layers are placed by the engine; options.devices, tensor_parallel and cpu_offload decide"),
    "tokenizer_json": nothing("the tokenizer of the model's own files is used"),
    "tokenizer": nothing("the tokenizer of the model's own files is used"),
    "organization": nothing("which layers are quantised is the engine's affair", "default"),
    "isq_organization": nothing("which layers are quantised is the engine's affair", "default"),
    "write_uqff": nothing("Moorage writes no UQFF; models stay as they are"),
    "from_uqff": nothing(_UQFF),
    "imatrix": nothing("engines quantise at load without one; take files that were made with it"),
    "calibration_file": nothing("engines quantise at load without one; take files that were made with it"),
    "hf_cache_path": nothing("set the variable HF_HUB_CACHE to it: what is there is used in place"),
    "hf_cache": nothing("set the variable HF_HUB_CACHE to it: what is there is used in place"),
    "max_seq_len": HINT_LENGTH,
    "max_batch_size": HINT_BATCH,
    "max_edge": nothing("images are resized as the engine does it"),
    "max_num_images": nothing("a hint for placing layers; images per call are not bounded by it"),
    "max_image_length": nothing("a hint for placing layers"),
    "gqa": nothing("GGUF files say it themselves", 1),
    "no_vision": nothing("a model that sees keeps doing so", False),
    "matformer_config_path": nothing(_MATRYOSHKA),
    "matformer_slice_name": nothing(_MATRYOSHKA),
    "chat_template": nothing(_TEMPLATE),
    "jinja_explicit": nothing(_TEMPLATE),
}
"""What a model may say of its weights, whatever kind it is."""

NO_IMAGES = "images are not made in this version: the model is left out"
NO_VOICE = "speech is not spoken in this version: the model is left out"
NO_XLORA = "X-LoRA is something only mistral.rs has: the model is left out; plain LoRA adapters are options.lora"
NO_GGML = "GGML is the format before GGUF, which no engine here reads: take the model as GGUF; it is left out"


def device_layers(value: Any) -> Any:
    """options.devices of `0:24` or `["0:10", "1:20"]`; a number of layers alone names no card."""
    parts = value if is_list(value) else str(value).split(";") if isinstance(value, (str, int)) else None
    if parts is None or isinstance(value, bool):
        raise Unfit(value, "a number of layers, or a list like [0:24, 1:8]")
    cards: list[str] = []
    for part in parts:
        card, colon, layers = str(part).strip().partition(":")
        if not colon:
            return Left("an engine splits the layers by itself; options.cpu_offload says how much stays off the card")
        if not card.isdigit() or not layers.isdigit():
            raise Unfit(value, "a number of layers, or a list like [0:24, 1:8]")
        cards.append(card)
    return cards


DEVICE_LAYERS: Rule = becomes(
    "options.devices", "its cards; how many layers each gets is the engine's affair", device_layers
)


def gguf_source(repository: Any, file_name: Any) -> str | None:
    """A GGUF file of a repository or a folder, as a source. Several files: the first, which names the others."""
    if not isinstance(repository, str) or not repository:
        return None
    names = file_name if is_list(file_name) else str(file_name or "").replace(";", " ").split()
    if not names:
        return repository
    if is_repository(repository):
        return f"{repository}:{names[0]}"
    return f"{repository.rstrip('/')}/{names[0]}"


def loras(translation: Translation, value: Any, key: Path, base: Path) -> None:
    """LoRA adapters, several parted by `;`, offered under the names they are given by."""
    names = [str(name) for name in value] if is_list(value) else str(value).split(";")
    translation.put((*base, "options", "lora"), {name.strip(): name.strip() for name in names if name.strip()}, key)
    why = f"a model of its own: ask for {names[0].strip()}"
    translation.note("mapped", key, why, (*base, "options", "lora"))


def prefix_cache(value: Any) -> Any:
    """options.prefix_caching of a number of caches."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(value, "a whole number")
    return False if value == 0 else Understood("how many is bounded by the memory there is")
