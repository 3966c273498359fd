"""The named edits: the only changes a JSON body suffers on its way to an engine."""

from moorage.errors import BadRequest
from moorage.gateway.call import Body, Call
from moorage.wire import body
from moorage.wire.body import Fields
from moorage.wire.table import ModelRow, TargetRow

PRIVATE_FIELDS = frozenset(
    {
        # llama.cpp: slots and caches shared with other callers
        "id_slot", "slot_id", "cache_prompt", "n_keep", "n_discard", "n_cache_reuse", "lora",
        "return_progress", "timings_per_token", "sse_ping_interval",
        # vLLM and SGLang: transfers between engines, scheduling, profiling
        "kv_transfer_params", "bootstrap_host", "bootstrap_port", "bootstrap_room", "data_parallel_rank",
        "priority", "request_id", "vllm_xargs", "rid",
    }
)  # fmt: skip
"""Fields that speak to one engine's inside. They never pass."""


def check_bound(call: Call, content: Body, model: ModelRow) -> None:
    """Refuse a wish for a longer reply than the model's max_output_tokens."""
    if model.max_output_tokens is None:
        return
    for name in call.surface.bounds:
        asked = content.read(name, int, 0)
        if asked > model.max_output_tokens:
            raise BadRequest(
                f"{name} is {asked}, but replies of {model.id!r} end at {model.max_output_tokens} tokens", param=name
            )


def folds(call: Call, target: TargetRow) -> bool:
    """Whether the engine is asked for a stream although the client did not: some stop nothing else when it leaves."""
    return call.surface.generates and not call.stream and not target.cancels_unary


def path_at(call: Call, target: TargetRow) -> str:
    """Where the engine serves this surface. Raises BadRequest where it does not."""
    path = target.manners.paths.get(call.surface.path, call.surface.path)
    if not path:
        raise BadRequest(f"{call.asked!r} runs on {target.engine}, which has no {call.surface.path}", param="model")
    return path


def check_tools(asked: Fields, call: Call, target: TargetRow) -> None:
    """Refuse a demand for a tool call that this engine would take for a wish."""
    choice = bytes(asked.get("tool_choice", b"null")).strip()
    if target.manners.forces_tools or choice in (b"null", b'"auto"', b'"none"'):
        return
    raise BadRequest(
        f"{call.asked!r} cannot be made to call a tool: its chat template knows no tools, so that {target.engine} "
        "would let it answer as it likes; leave tool_choice at auto, or ask for JSON with response_format",
        param="tool_choice",
    )


def for_target(asked: Fields, call: Call, model: ModelRow, target: TargetRow) -> bytes:
    """The body for one engine. Raises BadRequest for what it is known not to do."""
    check_tools(asked, call, target)
    fields: Fields = {name: raw for name, raw in asked.items() if name not in PRIVATE_FIELDS}
    if not target.echoes_model:
        fields["model"] = body.value(target.served_name)
    elif not body.read(fields, "model", str, ""):
        fields["model"] = body.value(call.asked)
    if folds(call, target):
        fields["stream"] = body.value(True)
    if call.surface.generates and ((call.stream and not call.wants_usage) or folds(call, target)):
        options = body.read(fields, "stream_options", dict[str, object], {})
        fields["stream_options"] = body.value({**options, "include_usage": True})
    if call.surface.generates:
        fields |= {name: body.value(item) for name, item in target.manners.adds.items()}
    bound, bounds = call.surface.bound, call.surface.bounds
    if bound and model.max_output_tokens and not any(body.read(fields, name, int, 0) for name in bounds):
        fields[bound] = body.value(model.max_output_tokens)
    if call.surface.generates:
        for name, spelled in target.manners.renames.items():
            if name in fields:
                fields.setdefault(spelled, fields.pop(name))
    return body.join(fields)
