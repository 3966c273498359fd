"""What a model is run for."""

from collections.abc import Collection

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.errors import EngineError
from moorage.wire.names import Task


def wanted(spec: ModelSpec, facts: ModelFacts) -> Task:
    """What the configuration says, else what the files make it."""
    return facts.task if spec.task == "auto" else spec.task


def task_of(spec: ModelSpec, facts: ModelFacts, engine: str, tasks: Collection[Task]) -> Task:
    """As `wanted`. Raises EngineError for what the engine has no routes for."""
    task = wanted(spec, facts)
    if task not in tasks:
        raise EngineError(f"{engine} has no routes for a model to {task}; model {spec.name!r} can {facts.task}")
    return task
