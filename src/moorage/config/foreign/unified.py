"""`models.json` of the unified service: chat, embedding and rerank, each on a port of its own behind one router."""

import difflib
from typing import Any

from moorage.config.foreign.converted import Converted, Translation
from moorage.config.foreign.precision import quantization
from moorage.config.foreign.rules import Rule, Rules, becomes, nothing, same, understood
from moorage.config.foreign.vllm_flags import ENGINE
from moorage.config.options import Path
from moorage.config.plain import is_list, is_section
from moorage.config.units import Unfit

TITLE = "the models.json of a unified service"
TASKS = {"chat": "generate", "embedding": "embed", "rerank": "rerank"}


def task(value: Any) -> str:
    """`task` of a model's `type`."""
    if isinstance(value, str) and value in TASKS:
        return TASKS[value]
    near = difflib.get_close_matches(value.lower(), TASKS, n=1, cutoff=0.6) if isinstance(value, str) else []
    raise Unfit(value, f"chat, embedding or rerank{f'; did you mean {near[0]}?' if near else ''}")


OWN: Rules = {
    "name": same("name"),
    "path": becomes("source"),
    "type": becomes("task", "", task),
    "port": same("port", "serves this model alone, with the same routes and keys"),
    "quantization": same("options.quantization", "", quantization),
    "served_model_name": becomes("name"),
}
ROUTER: Rules = {
    "host": becomes("server.host"),
    "port": becomes("server.port"),
    "startup_timeout": becomes("start_timeout", "of every model"),
    "health_check_interval": understood("engines are looked at every second"),
}
SYSTEM: Rules = {
    "gpu_count": nothing("the cards are asked of their driver; CUDA_VISIBLE_DEVICES or options.devices bound them", 1),
    "memory_fraction_reserved": understood("what the models' own shares leave is free"),
    "enable_prefix_caching": becomes("options.prefix_caching", "of every model"),
    "swap_space": ENGINE["swap_space"],
}
MODEL: Rules = {**ENGINE, **OWN}
TOP: Rules = {"models": OWN, "router": ROUTER, "system": SYSTEM}


def recognised(data: Any) -> bool:
    if not is_section(data):
        return False
    models = data.get("models")
    if is_section(models) and not {"local", "providers"} & set(models):
        sections = [item for item in models.values() if is_section(item)]
        named = set(models) & {*TASKS, "embeddings", "reranker"}
        return bool(named or {"router", "system"} & set(data) or any({"path", "type"} & set(one) for one in sections))
    if is_list(models):
        return any(is_section(one) and "path" in one and "source" not in one for one in models)
    return False


def convert(data: Any) -> Converted:
    translation = Translation(TITLE, engine="vllm")
    models = data.get("models")
    if is_section(models):
        translation.note("honoured", ("models",), "its models have notes of their own")
    else:
        translation.refuse(("models",), 'a list will not do; it should be a section: {"chat": {"name": …, "path": …}}')
        models = {}
    bases = [base for label, model in models.items() if (base := _model(translation, label, model)) is not None]
    for name, value in data.items():
        if name in ("router", "system"):
            _section(translation, name, value, bases, data)
        elif name != "models":
            translation.unknown((name,), value, TOP)
    return translation.finish()


def _model(translation: Translation, label: str, data: Any) -> Path | None:
    key: Path = ("models", label)
    if not is_section(data):
        translation.refuse(key, 'should be a section: {"name": …, "path": …, "type": "chat"}')
        return None
    translation.note("honoured", key, "the label only tells the models of the file apart")
    base = translation.model(key)
    if data.get("name") is None and data.get("served_model_name") is None:
        translation.put((*base, "name"), label, key)
    translation.apply(MODEL, data, key, [base])
    if data.get("path") is None:
        other = next((name for name in ("model_path", "model", "source") if name in data), None)
        hint = f"; did you mean it by {other}?" if other else ": the folder or file of the model, or ORG/NAME"
        translation.refuse((*key, "path"), f"is required{hint}")
    if data.get("type") is None and label in TASKS:
        translation.put((*base, "task"), TASKS[label], key)
    return base


def _section(translation: Translation, name: str, value: Any, bases: list[Path], data: dict[str, Any]) -> None:
    section = translation.section(value, (name,))
    if not is_section(value):
        return
    translation.note("honoured", (name,), "its keys have notes of their own")
    rules: Rules = ROUTER if name == "router" else SYSTEM
    reserved = section.get("memory_fraction_reserved")
    shares = _shares(data["models"])
    if name == "system" and isinstance(reserved, (int, float)) and shares is not None and shares + reserved > 1.0001:
        why = f"the models' own shares add up to {shares:g}, which leaves less than {reserved:g} of the card"
        rules = {**rules, "memory_fraction_reserved": Rule("warned", why=why)}
    translation.apply(rules, section, (name,), bases)


def _shares(models: Any) -> float | None:
    """What the models take of one card together, where they may be on one."""
    if not is_section(models):
        return None
    sections = [one for one in models.values() if is_section(one)]
    if len({str(one.get("cuda_device", 0)) for one in sections}) > 1:
        return None
    found = [one.get("gpu_memory_utilization") for one in sections]
    return sum(share for share in found if isinstance(share, (int, float)) and not isinstance(share, bool))
