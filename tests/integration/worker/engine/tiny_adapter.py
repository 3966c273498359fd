"""The adapter of the tiny engine: `engine: tiny_adapter:engine`; `options.extra_args` are its options."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from moorage.core.facts import ModelFacts
from moorage.core.ports import Diagnosis, Launch, LaunchOrder, Probe, Support
from moorage.wire.control import Load, Machine

PROGRAM = Path(__file__).with_name("tiny_engine.py")


class TinyAdapter:
    name = "tiny"
    metrics_path = "/metrics"
    proven = "of this version"
    cancels_unary = True
    echoes_model = True

    def supports(self, facts: ModelFacts, machine: Machine) -> Support:
        return Support(True, "it is only a test", accelerator="cuda" if machine.devices else "")

    def launch(self, order: LaunchOrder) -> Launch:
        options = dict(order.model.options.extra_args)
        if options.pop("broken_adapter", False):
            raise KeyError("a bug in somebody's adapter")
        secret = str(Path(order.socket).with_name("secret.json"))
        return Launch(
            argv=(str(options.pop("program", sys.executable)), str(PROGRAM), order.socket, json.dumps(options)),
            address=f"unix:{order.socket}",
            token=order.token,
            served_name="tiny",
            capacity=2,
            max_model_len=128,
            task="generate",
            env={"TINY_TOKEN": order.token},
            files={secret: b"secret"},
            loras=order.loras,
            why=("2 calls at once: it is tiny",),
        )

    def probe(self, launch: Launch) -> Probe:
        body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
        return Probe("POST", "/v1/chat/completions", body)

    def load_lora(self, name: str, path: str) -> Probe:
        return Probe("POST", "/adapters", json.dumps({"load": name, "path": path}).encode())

    def unload_lora(self, name: str) -> Probe:
        return Probe("POST", "/adapters", json.dumps({"unload": name}).encode())

    def observe(self, metrics: Mapping[str, float]) -> Load:
        return Load(
            running=metrics.get("tiny_running"), queued=metrics.get("tiny_queued"), progress=metrics.get("tiny_steps")
        )

    def diagnose(self, log: str) -> Diagnosis | None:
        if "out of tiny memory" in log:
            return Diagnosis("the tiny engine had no memory left", "Give it more")
        return None


engine = TinyAdapter()
