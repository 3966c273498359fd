"""What a model is for, told from its files. These are all the rules; the first that fits counts.

From config.json and what sentence-transformers keeps beside it:

1. a speech architecture (Whisper…, …ForSpeechSeq2Seq, …ForCTC): transcribe
2. a cross-encoder of sentence-transformers: rerank with one label or around a causal LM, else classify
3. modules.json of sentence-transformers: embed, whatever the architecture (Qwen3-Embedding is a causal LM)
4. …ForSequenceClassification: rerank with one label, else classify
5. …ForTokenClassification: classify
6. …ForCausalLM, …LMHeadModel, …ForConditionalGeneration and their like: generate
7. a body, whatever it was trained with (…Model, …ForMaskedLM, …ForPreTraining): embed
8. any other head: refused by name
9. no architecture: an encoder's model_type embeds, unless the weights have a classifier's head, which counts as in 4

From a graph alone (ONNX, OpenVINO), by its inputs and outputs: one that reads no tokens (`input_ids`) is refused; a
past or present of keys and values generates; scores (`logits`) of one column rerank, of several classify, per token
and as wide as a vocabulary generate; else embed.

From GGUF: pooling_type rank scores pairs, so rerank, except where it names labels other than yes and no (classify);
any other pooling, or an encoder's architecture: embed; else generate.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from moorage.errors import ModelError
from moorage.models.files.document import Document
from moorage.models.files.onnx import Port
from moorage.wire.names import Task

ENCODERS = frozenset(
    (
        *("albert", "bert", "big_bird", "camembert", "convbert", "data2vec-text", "deberta", "deberta-v2"),
        *("distilbert", "electra", "ernie", "esm", "eurobert", "flaubert", "funnel", "ibert", "longformer", "luke"),
        *("megatron-bert", "mobilebert", "modernbert", "mpnet", "mra", "nezha", "new", "nomic_bert", "nystromformer"),
        *("rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "squeezebert", "t5encoder"),
        *("xlm-roberta", "xlm-roberta-xl", "xlnet", "xmod"),
    )
)
"""model_type of encoders; those of decoders are many more, and new ones every month."""
_SPEECH = frozenset(
    {"whisper", "moonshine", "wav2vec2", "wav2vec2-bert", "hubert", "speech_to_text", "speecht5", "parakeet_ctc"}
)
_SPEECH_HEADS = ("ForSpeechSeq2Seq", "ForCTC", "ForSpeechToText")
_GENERATING_HEADS = (
    "ForCausalLM",
    "LMHeadModel",
    "ForConditionalGeneration",
    "ForVision2Seq",
    "ForImageTextToText",
    "ForSeq2SeqLM",
    "ForMultimodalLM",
)
_BODIES = ("Model", "ForMaskedLM", "ForPreTraining", "Encoder", "ForTextEncoding")
_TOKENS = re.compile(r"input_?ids|tokens?$|inputs_embeds", re.IGNORECASE)
_MAX_LABELS = 1000
"""Columns of scores per token beyond which they are a vocabulary's."""


def from_config(config: Document, labels: int, *, sentence: bool, cross_encoder: bool, head: bool) -> Task:
    """Rules 1 to 9; `head` is whether the weights have a classifier's. Raises ModelError for another kind of model."""
    names = config.texts("architectures")
    name, kind = names[0] if names else "", config.text("model_type") or ""
    by_labels: Task = "rerank" if labels == 1 else "classify"
    if kind in _SPEECH or name.startswith("Whisper") or name.endswith(_SPEECH_HEADS):
        return "transcribe"
    if cross_encoder:
        return "rerank" if name.endswith(_GENERATING_HEADS) else by_labels
    if sentence:
        return "embed"
    if name.endswith("ForSequenceClassification") or (head and not name):
        return by_labels
    if name.endswith("ForTokenClassification"):
        return "classify"
    if name.endswith(_GENERATING_HEADS):
        return "generate"
    if _is_text(config) and (name.endswith(_BODIES) or (not name and kind in ENCODERS)):
        return "embed"
    if name or not _is_text(config):
        what = f"a {name}" if name else f"of type {kind!r} without a vocabulary"
        raise ModelError(
            f"{str(config.path)!r} says that the model is {what}, which none of the tasks here is for "
            "(generate, embed, rerank, classify, transcribe)"
        )
    return "generate"


def from_ports(path: Path, inputs: Sequence[Port], outputs: Sequence[Port]) -> Task:
    """By what goes into a graph and comes out of it. Raises ModelError for one that reads no tokens."""
    if not any(_TOKENS.search(port.name) for port in inputs):
        shown = ", ".join(port.name for port in inputs[:5]) or "nothing"
        raise ModelError(f"{str(path)!r} is a graph that reads no tokens (its inputs: {shown}), so no text model")
    if any(port.name.startswith(("past_key_values", "present")) for port in (*inputs, *outputs)):
        return "generate"
    scores = next((port for port in outputs if port.name in ("logits", "scores", "score")), None)
    if scores is None:
        return "embed"
    columns = scores.shape[-1] if scores.shape else ""
    if scores.shape and len(scores.shape) > 2:
        return "generate" if isinstance(columns, int) and columns > _MAX_LABELS else "classify"
    return "rerank" if columns == 1 else "classify"


def _is_text(config: Document) -> bool:
    """Whether a body reads text alone: with a vocabulary, and no vision beside it."""
    return (
        config.number("vocab_size", "n_vocab", "vocabulary_size") is not None and "vision_config" not in config.values
    )
