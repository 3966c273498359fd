"""What `build` gives: a model that ONNX Runtime can run as it is."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Graph:
    """An encoder as an ONNX graph whose weights stay where they are, in the checkpoint's own files.

    To run it, set every entry of `settings` with `SessionOptions.add_session_config_entry` and give `model` to
    `InferenceSession`. The files are mapped into memory: they must not be changed while the session lives.
    """

    model: bytes
    """An ONNX ModelProto."""
    settings: Mapping[str, str]
    """Entries of the session's configuration; they say where the weights lie."""
    inputs: tuple[str, ...]
    """`input_ids`, `attention_mask`, and `token_type_ids` where the architecture has them: int64 [batch, sequence].
    The mask is 1 for a token and 0 for padding; padding stands at the end of a text."""
    outputs: tuple[str, ...]
    """`last_hidden_state`, float32 [batch, sequence, hidden], whose rows at padding mean nothing; then, where the
    checkpoint has a head, `logits`: [batch, labels], or [batch, sequence, labels] of a classifier of tokens."""
    max_length: int
    """The most tokens in a text that the model has positions for; a longer one fails or loses its meaning."""
