import json
import struct
from pathlib import Path
from typing import Any

import pytest

from moorage.config.model import ModelSpec
from moorage.errors import ConfigError
from moorage.serve.fit.change import Change, changed
from moorage.serve.plan import Plan, cards, described, document, plan
from moorage.wire.control import Machine

GIB = 1 << 30
HERE = Machine(hostname="here", cores=8, memory_bytes=64 * GIB)
EIGHT = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    "max_position_embeddings": 32768,
}  # fmt: skip


def folder(path: Path, parameters: float = 8.03e9, **settings: Any) -> Path:
    """A model in 16 bits whose numbers are a hole in a file."""
    config = EIGHT | settings
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_text("{}")
    width = 4096
    header = {"model.w.weight": {"dtype": "BF16", "shape": [int(parameters) // width, width]}}
    size = int(parameters) // width * width * 2
    header["model.w.weight"]["data_offsets"] = [0, size]
    content = json.dumps(header).encode()
    with (path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(content)) + content)
        file.truncate(8 + len(content) + size)
    return path


def spec(source: object, name: str = "m", engine: str = "auto", **options: Any) -> ModelSpec:
    return ModelSpec.model_validate({"name": name, "source": str(source), "engine": engine, "options": options})


def planned(*specs: ModelSpec, memory_gib: float = 64, gpus: str = "") -> Plan:
    sizes = cards(gpus) if gpus else ()
    machine = described(HERE, specs, memory_bytes=int(memory_gib * GIB), cards_bytes=sizes)
    return plan(specs, machine, {}, {}, made_up=True)


def test_a_model_that_fits_a_card(tmp_path: Path) -> None:
    made = planned(spec(folder(tmp_path / "eight")), gpus="24GiB")
    (model,) = made.models
    assert made.fits
    assert model.fits
    assert model.memory is not None
    assert model.memory.weights_bytes == pytest.approx(16.06e9, rel=0.01)
    assert model.memory.devices == 1
    assert model.sized is not None
    assert [[device.index for device in hold.devices] for hold in model.sized.holds] == [[0]]
    assert [room.name for room in made.rooms] == ["processor", "cuda 0"]
    assert 20 * GIB < made.rooms[1].taken_bytes < 24 * GIB


def test_what_would_make_it_fit_does(tmp_path: Path) -> None:
    wanted = spec(folder(tmp_path / "eight"))
    made = planned(wanted, gpus="16GiB")
    (model,) = made.models
    assert not made.fits
    assert "16.0 GB" in model.problem
    assert model.memory is not None
    assert model.memory.total_bytes > 16 * GIB
    assert [dict(change.options) for change in model.savings] == [{"quantization": "int8"}]
    assert planned(changed(wanted, model.savings[0]), gpus="16GiB").fits


def test_more_cards_would_do(tmp_path: Path) -> None:
    wanted = spec(folder(tmp_path / "eight"))
    (model,) = planned(wanted, gpus="2x16GiB").models
    options = [dict(change.options) for change in model.savings]
    assert {"tensor_parallel": 2} in options
    for change in model.savings:
        assert planned(changed(wanted, change), gpus="2x16GiB").fits, change


def test_a_context_that_was_asked_for_is_lowered_or_its_numbers_are(tmp_path: Path) -> None:
    wanted = spec(folder(tmp_path / "eight"), max_model_len=32768)
    (model,) = planned(wanted, gpus="22.6GiB").models
    names = [next(iter(change.options)) for change in model.savings]
    assert names[0] == "max_model_len"
    assert "kv_cache_dtype" in names
    assert model.savings[0].options["max_model_len"] != 512, "the mildest value that does"
    for change in model.savings:
        assert planned(changed(wanted, change), gpus="22.6GiB").fits, change


def test_several_settings_where_one_is_not_enough(tmp_path: Path) -> None:
    wanted = spec(folder(tmp_path / "eight"), max_model_len=32768)
    (model,) = planned(wanted, gpus="12.5GiB").models
    (change,) = model.savings
    assert len(change.options) > 1
    assert planned(changed(wanted, change), gpus="12.5GiB").fits


def test_nothing_helps(tmp_path: Path) -> None:
    (model,) = planned(spec(folder(tmp_path / "seventy", 70e9)), gpus="24GiB").models
    assert model.savings == ()
    assert not model.fits
    assert model.memory is not None


@pytest.mark.parametrize("layers", [0, 1 << 60])
def test_numbers_that_make_no_sense(tmp_path: Path, layers: int) -> None:
    made = planned(spec(folder(tmp_path / "odd", num_hidden_layers=layers)), gpus="24GiB")
    (model,) = made.models
    assert model.fits == (layers == 0)
    json.dumps(document(made))


def test_beside_each_other_on_a_card(tmp_path: Path) -> None:
    path = folder(tmp_path / "eight")
    first, second = spec(path, "a"), spec(path, "b")
    made = planned(first, second, gpus="40GiB")
    assert [model.fits for model in made.models] == [True, False]
    assert "'a' holds" in made.models[1].problem
    shares = {change.model: change.options["memory_fraction"] for change in made.together}
    assert shares.keys() == {"a", "b"}
    changes = {change.model: change for change in made.together}
    assert planned(*(changed(one, changes[one.name]) for one in (first, second)), gpus="40GiB").fits
    assert planned(first, second, gpus="2x40GiB").fits


def test_beside_each_other_in_memory(chat_weights: Path) -> None:
    specs = [spec(chat_weights, name, "llama.cpp") for name in "abc"]
    made = planned(*specs, memory_gib=1.0)
    assert made.models[0].fits
    assert not made.fits
    late = next(model for model in made.models if not model.fits)
    assert "leave" in late.problem
    changes = {change.model: change for change in made.together}
    assert changes
    assert planned(*(changed(one, changes.get(one.name)) for one in specs), memory_gib=1.0).fits


def test_what_is_not_here_and_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    made = planned(spec("org/name", "far"), spec(tmp_path / "gone.gguf", "gone"), spec(tmp_path / "text.gguf", "text"))
    far, gone, text = made.models
    assert far.absent is not None
    assert far.absent.how == "not fetched yet"
    assert far.memory is None
    assert gone.problem
    assert "GGUF" in text.problem or "model" in text.problem
    assert not made.fits
    assert planned(spec("org/name", "far")).fits, "nothing is known to be wrong"


def test_the_document_is_plain(tmp_path: Path) -> None:
    made = planned(spec(folder(tmp_path / "eight")), spec("org/name", "far"), gpus="2x16GiB")
    told = json.loads(json.dumps(document(made)))
    assert told["machine"]["described"] is True
    assert [model["fits"] for model in told["models"]] == [False, None]
    assert told["models"][0]["memory"]["weights_bytes"] > 14 * GIB
    assert {"tensor_parallel": 2} in told["models"][0]["savings"]


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("24GiB", [24]),
        ("2x24GiB", [24, 24]),
        ("2 × 24 GB, 80GB", [24, 24, 80]),
        ("1X8g", [8]),
    ],
)
def test_cards_as_people_write_them(text: str, sizes: list[int]) -> None:
    assert [size // GIB for size in cards(text)] == sizes


@pytest.mark.parametrize("text", ["", "x", "0x24GiB", "2x", "2x0", "-1x24GiB", "24GiB,", "9999x24GiB", "2x24parsecs"])
def test_what_are_no_cards(text: str) -> None:
    with pytest.raises(ConfigError, match="2x24GiB"):
        cards(text)


def test_a_change_reads_like_options() -> None:
    change = Change(model="m", options={"memory_fraction": 0.5, "devices": ("0", "1")})
    assert str(change) == "m memory_fraction 0.50, devices 0,1"
