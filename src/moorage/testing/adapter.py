"""An engine adapter that launches the fake engine: `engine: moorage.testing.adapter:engine` serves any file with it.

`options.extra_args` are the fake engine's options (`tokens_per_s: 20`, `fault: stall after=3`, `fail: MESSAGE`). With
`room: 4096` a start with a longer context fails as vLLM's does, and is tried again with this one.
"""

import re
import sys
from collections.abc import Mapping

from moorage.core.facts import ModelFacts
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.testing.engine import TOKEN_VARIABLE
from moorage.testing.server import METRICS
from moorage.wire.control import Load, Machine

DEFAULT_SLOTS = 4
DEFAULT_CONTEXT = 8192


class FakeAdapter:
    """`core.ports.Engine` for the fake engine. What it serves answers to `fake/NAME`, so that a test sees renaming."""

    name = "fake"
    proven = "of this version"
    metrics_path = "/metrics"
    cancels_unary = True
    echoes_model = False

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        return Support(True, "the fake engine serves anything, in words of its own", rank=-100)

    def launch(self, order: LaunchOrder) -> Launch:
        options = order.model.options
        slots = options.max_sequences or DEFAULT_SLOTS
        context = options.max_model_len or DEFAULT_CONTEXT
        served_name = f"fake/{order.model.name}"
        argv = [sys.executable, "-m", "moorage.testing.engine", "--uds", order.socket, "--model", served_name]
        argv += ["--slots", str(slots), "--max-model-len", str(context), "--may-exit"]
        for name, value in options.extra_args.items():
            option = "--" + name.replace("_", "-")
            if value is not False:
                argv.append(option if value is True else f"{option}={value}")
        return Launch(
            argv=tuple(argv),
            address=f"unix:{order.socket}",
            token=order.token,
            served_name=served_name,
            capacity=slots,
            max_model_len=context,
            task=order.facts.task if order.model.task == "auto" else order.model.task,
            env={TOKEN_VARIABLE: order.token},
            why=(f"{slots} slots", f"{context} tokens of context"),
        )

    def probe(self, launch: Launch) -> Probe:
        return Probe("GET", "/health")

    def observe(self, metrics: Mapping[str, float]) -> Load:
        generated, read = metrics.get(METRICS["tokens"]), metrics.get(METRICS["prompt_tokens"])
        return Load(
            running=metrics.get(METRICS["running"]),
            queued=metrics.get(METRICS["queued"]),
            kv_used=metrics.get(METRICS["kv_used"]),
            progress=None if generated is None or read is None else generated + read,
        )

    def diagnose(self, log: str) -> Diagnosis | None:
        if found := re.search(r"estimated maximum model length is (\d+)", log):
            return Diagnosis(
                "the fake engine has no room for so long a context",
                f"set options.max_model_len to {found[1]} or less",
                signature="fake.room",
                remedy={"max_model_len": found[1]},
            )
        if found := re.search(r"unrecognized arguments: (.*)", log):
            return Diagnosis(f"the fake engine has no option {found[1]}", "remove it from options.extra_args")
        if "cannot load" in log:
            return Diagnosis("the fake engine was told to fail", "remove `fail` from options.extra_args")
        return None


engine = FakeAdapter()
