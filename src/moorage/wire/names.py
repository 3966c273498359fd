"""Words that several messages use."""

from typing import Literal

Task = Literal["generate", "embed", "rerank", "classify", "transcribe"]
"""What a model is for: text, vectors, how well a document answers a query, labels, speech to text."""

ReplicaState = Literal[
    "pending", "scheduled", "downloading", "starting", "ready", "draining", "stopped", "failed", "unreachable"
]
"""A replica's life. pending, scheduled and unreachable are the controller's to say, the rest the worker's."""
