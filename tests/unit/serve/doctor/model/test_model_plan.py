from moorage.config.model import EngineOptions, ModelSpec
from moorage.core.facts import ModelFacts
from moorage.engines.llamacpp import LlamaCpp
from moorage.serve.doctor.findings import Finding
from moorage.serve.doctor.model.plan import examine, others, proven
from moorage.wire.control import Machine

GIB = 1 << 30
FACTS = ModelFacts(
    path="/m.gguf", format="gguf", task="generate", architecture="llama", size_bytes=94 << 20, quantization="Q4_1",
    context_length=8192, layers=30, embedding_length=576, heads=9, kv_heads=3, key_length=64, value_length=64,
    vocabulary=49152, chat_template="x",
)  # fmt: skip
SPEC = ModelSpec(name="chat", source="/m.gguf")


def here(gib: float = 16) -> Machine:
    return Machine(hostname="here", cores=2, memory_bytes=int(gib * GIB))


def found(spec: ModelSpec, machine: Machine, *, runs: bool = False) -> dict[str, list[Finding]]:
    by_id: dict[str, list[Finding]] = {}
    for finding in examine(spec, FACTS, machine, runs=runs):
        by_id.setdefault(finding.id, []).append(finding)
    return by_id


def test_engine_options_and_memory_are_told_with_their_reasons() -> None:
    seen = found(SPEC, here())
    assert seen["engine.choice"][0].what.startswith("llama.cpp ")
    assert seen["engine.proven"][0].level == "ok"
    others = {finding.subject: finding.detail for finding in seen["engine.other"]}
    assert "this one is gguf" in others["onnx"]
    assert "llama.cpp" not in others
    plan = {finding.what: finding.detail for finding in seen["plan.option"]}
    assert plan["8192 tokens a call"] == "what the model was trained for"
    parts = {finding.subject: finding.facts["bytes"] for finding in seen["room.part"]}
    assert parts["all"] == sum(size for name, size in parts.items() if name != "all")
    assert parts["weights_bytes"] >= FACTS.size_bytes
    assert seen["room.free"][0].level in ("ok", "warning")


def test_an_engine_that_refused_an_option_could_not_be_taken() -> None:
    why = ("openvino: the best", "not llama.cpp: it has no options.cpu_offload: leave it out")
    (told,) = [finding for finding in others(FACTS, here(), "openvino", why) if finding.subject == "llama.cpp"]
    assert (told.what, told.facts["ok"]) == ("not llama.cpp", False)
    assert told.detail == "it has no options.cpu_offload: leave it out"
    (told,) = [finding for finding in others(FACTS, here(), "openvino") if finding.subject == "llama.cpp"]
    assert (told.what, told.facts["ok"]) == ("could be llama.cpp", True)


def test_what_cannot_start_is_a_problem() -> None:
    seen = found(SPEC.model_copy(update={"options": EngineOptions(max_model_len=9000)}), here())
    (problem,) = seen["plan.option"]
    assert problem.level == "problem"
    assert "trained for 8192" in problem.detail
    seen = found(SPEC.model_copy(update={"engine": "onnx"}), here())
    assert seen["engine.choice"][0].level == "problem"
    assert {finding.subject for finding in seen["engine.other"]} >= {"llama.cpp", "onnx"}
    assert "plan.option" not in seen
    seen = found(SPEC, here(0.1))
    assert seen["engine.choice"][0].level == "problem"


def test_one_whose_adapter_never_ran_is_told() -> None:
    class Unproven(LlamaCpp):
        proven = ""

    assert proven(Unproven(), "").level == "warning"
    assert proven(LlamaCpp(), "1").level == "ok"
