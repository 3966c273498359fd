"""Words that several messages use."""

from typing import Literal

Task = Literal["generate", "embed"]
"""What a model is for."""

ReplicaState = Literal[
    "pending", "scheduled", "downloading", "starting", "ready", "draining", "stopped", "failed", "unreachable"
]
"""A replica's life. pending, scheduled and unreachable are the controller's to say, the rest the worker's."""
