"""What the adapters of encoders of texts share: their tasks, and how a host of ours for graphs is launched."""

from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.memory import Footprint
from moorage.core.ports import Launch, LaunchOrder
from moorage.engines import embedded
from moorage.engines.encoding_fitting import fit
from moorage.engines.options import unused
from moorage.engines.tasks import wanted
from moorage.errors import EngineError
from moorage.wire.names import Task
from moorage.wire.runtime import EncoderSettings

TASKS: tuple[Task, ...] = ("embed", "rerank", "classify")
HONOURED = frozenset({"max_model_len", "max_sequences", "threads", "batch_tokens", "quantization"})
EXTRA_ARGS = ("matryoshka", "niceness", "pooling")
"""Fields of EncoderSettings that options.extra_args may set."""


def launch(order: LaunchOrder, footprint: Footprint, *, engine: str, host: str) -> Launch:
    """Of `moorage.runtimes.HOST`, which is told by EncoderSettings. Raises EngineError."""
    spec, facts = order.model, order.facts
    task = task_of(spec, facts)
    chosen = fit(spec, facts, order.machine, footprint)
    settings = EncoderSettings(
        socket=order.socket,
        token=order.token,
        model_path=facts.path,
        served_name=spec.name,
        task=task,
        threads=chosen.threads,
        context=chosen.context,
        batch_tokens=chosen.batch_tokens,
        max_calls=chosen.max_calls,
        quantize=chosen.quantized,
    )
    settings = embedded.with_extra_args(settings, spec, EXTRA_ARGS, engine)
    silent = task == "embed" and facts.pooling is None and settings.pooling == "file"
    return embedded.launch(
        host,
        settings,
        capacity=chosen.max_calls,
        max_model_len=chosen.context,
        memory=chosen.memory,
        why=(
            *chosen.why,
            embedded.niceness_why(settings.niceness),
            *(("mean pooling: the files say none",) if silent else ()),
            *unused(spec, engine, HONOURED),
        ),
        env=embedded.ENVIRONMENT_OF_ARRAYS,
    )


def task_of(spec: ModelSpec, facts: ModelFacts) -> Task:
    """Raises EngineError for a task that the files cannot do."""
    task = wanted(spec, facts)
    if task not in TASKS:
        raise EngineError(f"model {spec.name!r} is an encoder of texts: set its task to one of {', '.join(TASKS)}")
    if task != facts.task and task == "rerank":
        raise EngineError(
            f"model {spec.name!r} gives no score of a pair of texts: set its task to {facts.task}"
            + (", which reranks by the cosine of two embeddings" if facts.task == "embed" else "")
        )
    if task != facts.task and task == "classify" and facts.task == "embed":
        raise EngineError(f"model {spec.name!r} has no labels: set its task to embed")
    return task
