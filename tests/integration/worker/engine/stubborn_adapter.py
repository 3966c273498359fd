"""Engines that do not start as they are told, and do when told otherwise: `engine: stubborn_adapter:tiny` wants a
context of at most 8192 tokens, `stubborn_adapter:limited` is llama.cpp that may have no more memory than it is told."""

from dataclasses import replace

from tiny_adapter import TinyAdapter

from moorage.core.ports import Diagnosis, Launch, LaunchOrder
from moorage.engines.llamacpp import LlamaCpp

LONGEST = 8192


class Stubborn(TinyAdapter):
    """`options.extra_args`: those of the tiny engine, and `never`, which is to fail whatever the context."""

    name = "stubborn"

    def launch(self, order: LaunchOrder) -> Launch:
        options = order.model.options
        length = options.max_model_len or 32768
        extra = {name: value for name, value in options.extra_args.items() if name != "never"}
        if length > LONGEST or "never" in options.extra_args:
            extra = {"fail": 2}
        changed = order.model.model_copy(update={"options": options.model_copy(update={"extra_args": extra})})
        return replace(super().launch(replace(order, model=changed)), max_model_len=length)

    def diagnose(self, log: str) -> Diagnosis | None:
        found = super().diagnose(log)
        if found is None:
            return None
        link = "https://example.org/issues/1"
        return replace(found, signature="stubborn.memory", source=link, remedy={"max_model_len": "half"})


class Limited(LlamaCpp):
    """`options.env` LIMIT_BYTES: of its address space."""

    def launch(self, order: LaunchOrder) -> Launch:
        launch = super().launch(order)
        return replace(launch, argv=("prlimit", f"--as={order.model.options.env['LIMIT_BYTES']}", *launch.argv))


tiny = Stubborn()
limited = Limited()
