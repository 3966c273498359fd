"""The files users get wrong, and the message that helps them."""

from pathlib import Path

import pytest

from moorage.config.load import Loaded, load
from moorage.errors import ConfigError

ENVIRONMENT = {"HOME": "/home/someone"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(name: str, text: str | bytes) -> Loaded:
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    return load(name, environ=ENVIRONMENT)


def refusal(name: str, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as refused:
        loaded(name, text)
    return refused.value.message


def unified(model: str, more: str = "") -> str:
    return f'{{"models": {{\n  "chat": {{"name": "a", {model}}}\n}}{more}}}'


REFUSED = [
    # models.json
    (
        "models.json",
        unified('"path": "/m", "type": "embeddings"'),
        "models.json:2: models.chat.type: 'embeddings' will not do; it should be chat, embedding or rerank; "
        "did you mean embedding?",
    ),
    (
        "models.json",
        unified('"path": "/m", "type": "llm"'),
        "'llm' will not do; it should be chat, embedding or ",
    ),
    ("models.json", unified('"type": "chat"'), "models.json:2: models.chat.path: is required: the folder or file"),
    (
        "models.json",
        unified('"model_path": "/m", "type": "chat"'),
        "models.json:2: models.chat.path: is required; did you mean it by model_path?",
    ),
    (
        "models.json",
        unified('"path": "/m", "dtype": "int8"'),
        "'int8' will not do; it should be auto, float16, bfloat16 or float32; int8 is a quantisation, write it as such",
    ),
    (
        "models.json",
        unified('"path": "/m", "max_model_len": "long"'),
        "models.json:2: models.chat.max_model_len: 'long' will not do; it should be a whole number",
    ),
    (
        "models.json",
        unified('"path": "/m", "gpu_memory_utilization": 55'),
        "models.json:2: models.chat.gpu_memory_utilization: 55 will not do; it should be at most 1.0",
    ),
    (
        "models.json",
        unified('"path": "/m", "port": 8001', ', "router": {"port": 8001}'),
        "models.json: models.chat.port and router.port are both 8001; change one",
    ),
    (
        "models.json",
        '{"models": {"chat": {"path": "/a", "name": "x"}, "rerank": {"path": "/b", "name": "x"}}}',
        "the name 'x' is claimed by models.chat (x) and models.rerank (x)",
    ),
    (
        "models.json",
        '{"models": [{"name": "a", "path": "/m", "type": "chat"}]}',
        "models: a list will not do; it should",
    ),
    ("models.json", '{"models": {"chat": "/m"}}', "models.json:1: models.chat: should be a section"),
    ("models.json", unified('"path": "C:\\models\\chat"'), "write Windows paths with / or with two \\\\"),
    ("models.json", unified('"path": "/m",'), "not JSON: "),
    ("models.json", unified('"path": "/m" // here'), "JSON has no comments"),
    ("models.json", unified('"path": "/m"').encode("utf-16-le"), "perhaps UTF-16 or UTF-32; save it as UTF-8"),
    ("models.json", unified('"path": "/m"').encode("utf-16")[:-1], "models.json: is not UTF-16 text"),
    # mistral.rs
    ("mistral.json", '{"a": {"plain": {"model_id": "x/y"}}}', "'plain' is no kind of model; did you mean Plain?"),
    ("mistral.json", '{"a": {"in_situ_quant": 4}}', "names no kind of model; known are Run, Plain"),
    ("mistral.json", '{"a": {"Plain": {}}}', "mistral.json:1: a.Plain.model_id: is required: ORG/NAME or a path"),
    ("mistral.json", '{"a": {"Plain": {"model_id": "x/y"}, "GGUF": {}}}', "has two kinds, Plain and GGUF"),
    (
        "mistral.json",
        '{"a": {"GGUF": {"quantized_model_id": "x/y"}}}',
        "quantized_filename: is required: the name of the GGUF file",
    ),
    ("mistral.json", '{"a": {"Plain": {"model_id": "x/y"}, "in_situ_quant": "Q9"}}', "a number of bits (2, 3, 4"),
    ("mistral.json", '{"a": {"Lora": {"adapter_model_id": "x/y"}}}', "it would be read from the adapter's files there"),
    ("mistral.json", '[{"model_id": "a", "model": {"Plain": {}}}]', 'should be a section: {"label": {"Plain"'),
    ("mistral.json", '{"a": {"Speech": {"model_id": "x/y"}}}', "none of its models can be served here"),
    ("m.toml", 'command = "serve"\n', "m.toml:1: models: is required: [[models]] with model_id"),
    ("m.toml", 'command = "sreve"\n[[models]]\nmodel_id = "a/b"\n', "m.toml:1: command: should be serve"),
    ("m.toml", '[[models]]\nmodel_id = "a/b"\nkind = "txt"\n', "m.toml:3: models[0].kind: should be one of auto, text"),
    ("m.toml", '[[models]]\nkind = "text"\n', "m.toml:1: models[0].model_id: is required"),
    (
        "m.toml",
        'default_model_id = "a/c"\n[[models]]\nmodel_id = "a/b"\n',
        "m.toml:1: default_model_id: is the model_id of none of the models served: a/b",
    ),
    (
        "m.toml",
        '[server]\nport = "x"\n[[models]]\nmodel_id = "a/b"\n',
        "m.toml:2: server.port: 'x' will not do; it should be a whole number",
    ),
    ("m.toml", 'a = "C:\\models"\n', "write Windows paths in single quotes"),
    # model-deploy-config.yaml
    ("d.yaml", "models:\n- name: a\n  provider: b\n", "d.yaml:2: models[0].model_path: is required"),
    ("d.yaml", "models:\n- model_path: /m\n", "models[0].name: is required"),
    ("d.yaml", "models:\n  a: {model_path: /m}\nruntime: {device_map: auto}\n", "models: should be a list of models"),
    (
        "d.yaml",
        "models:\n- {name: a, model_path: /m}\nruntime: {max_memory: {'cuda:0': lots}}\n",
        "d.yaml:3: runtime.max_memory.cuda:0: 'lots' will not do; it should be a size",
    ),
    ("d.yaml", "models:\n- {name: a, model_path: /m, max_input_length: many}\n", "should be a whole number of tokens"),
    (
        "d.yaml",
        "models:\n- {name: a, model_path: /m, quantization: int5}\n",
        "'int5' will not do; it should be none",
    ),
    (
        "d.yaml",
        "models:\n- {name: a, model_path: /m, advanced_options: {sdp_backend: quick}}\n",
        "models[0].advanced_options.sdp_backend: 'quick' will not do; it should be one of auto, flash_attention, math",
    ),
    ("d.yaml", "models:\n\t- name: a\n", "d.yaml:2:1: not YAML: a tab; YAML is indented with spaces"),
    ("d.yaml", "models:\n  - name: a\n\tmodel_path: b\n", "a tab; YAML is indented with spaces"),
    # vLLM
    ("v.yaml", "tensor-parallel-size: 2\n", "v.yaml:1: model: is required: vLLM takes the model from its command line"),
    ("v.yaml", "model: a/b\ndtype: int8\n", "v.yaml:2: dtype: 'int8' will not do; it should be auto"),
    ("v.yaml", "model: a/b\nenforce-eager: maybe\n", "'maybe' will not do; it should be true or false"),
    ("v.yaml", "model: a/b\nlora-modules: [x]\n", "it should be name=path, or a section with name and path"),
    ("v.yaml", "model: a/b\nmodel_tag: c/d\n", "model_tag: says otherwise than model; both become"),
    ("v.yaml", "engine: {model_config: {dtype: half}}\n", "engine.model_config.model: is required"),
    ("v.yaml", "engine: {model_config: {model: a/b}, cache_config: [1]}\n", "engine.cache_config: a list will not do"),
    # The gateway's own
    (
        "g.yaml",
        "database: {driver: oracle}\n",
        "g.yaml:1: database.driver: this text will not do; it should be",
    ),
    ("g.yaml", "database: {prot: 1}\n", "database.prot: unknown option; did you mean database.port?"),
    ("g.yaml", "redis: [a]\n", "redis: a list will not do; it should be a section"),
    ("g.yaml", "auth: {token_expiry: tomorrow}\n", "auth.token_expiry: this text will not do; it should be a duration"),
    ("g.yaml", "server: {grpc: {port: 70000}}\n", "server.grpc.port: a number will not do; it should be a port"),
    ("g.yaml", "models: {providers: {openai: {}}}\n", "models.providers: a section will not do; it should be a list"),
    (
        "g.yaml",
        "workers: {min_count: true}\n",
        "workers.min_count: true or false will not do; it should be a",
    ),
]


@pytest.mark.parametrize(("name", "text", "wanted"), REFUSED)
def test_what_is_refused(name: str, text: str | bytes, wanted: str) -> None:
    message = refusal(name, text)
    assert wanted in message
    assert message.startswith((name, "2 problems"))


WARNED = [
    # Advice that was never right, or is not any more.
    ("v.yaml", "model: a/b\nswap-space: 4\n", "v.yaml:2: swap-space: vLLM has no swap space any more"),
    ("v.yaml", "model: a/b\nmax-gpu-memory: 20GB\n", "no version of vLLM had it; write options.memory_fraction"),
    ("v.yaml", "model: a/b\ndisable-log-requests: true\n", "gone from vLLM; one line for each call is Moorage's own"),
    (
        "v.yaml",
        "model: a/b\nssl-keyfile: /k\nssl-certfile: /c\n",
        "v.yaml:2: ssl-keyfile, ssl-certfile: a proxy",
    ),
    ("v.yaml", "model: /m\nrevision: main\n", "revision: the model is a path, which has no revisions"),
    ("v.yaml", "model: a/b\ncpu-offload-gb: true\n", "says not how much: write options.cpu_offload: 8GB"),
    (
        "models.json",
        unified('"path": "/m", "gpu_memory_utilisation": 0.5'),
        "models.json:2: models.chat.gpu_memory_utilisation: is no key of the models.json of a unified service and has "
        "no effect; did you mean gpu_memory_utilization?",
    ),
    (
        "models.json",
        unified('"path": "/m", "gpu_memory_utilization": 0.98', ', "system": {"memory_fraction_reserved": 0.05}'),
        "the models' own shares add up to 0.98, which leaves less than 0.05 of the card",
    ),
    ("models.json", unified('"path": "/m"', ', "system": {"gpu_count": 2}'), "the cards are asked of their driver"),
    ("models.json", unified('"path": "/m"', ', "_comment": "x"'), "_comment: is no key of the models.json"),
    (
        "m.json",
        '{"a": {"Plain": {"model_id": "x/y", "hf_cache_path": "/c"}}}',
        "set the variable HF_HUB_CACHE to it: what is there is used in place",
    ),
    (
        "m.json",
        '{"a": {"Plain": {"model_id": "x/y"}, "num_device_layers": 24}}',
        "an engine splits the layers by itself",
    ),
    (
        "m.json",
        '{"a": {"XLora": {"model_id": "x/y"}}, "b": {"Plain": {"model_id": "x/z"}}}',
        "m.json:1: a: X-LoRA is something only mistral.rs has: the model is left out",
    ),
    (
        "m.toml",
        '[paged_attn]\nmemory_fraction = 0.8\n[[models]]\nmodel_id = "a/b"\n[[models]]\nmodel_id = "a/c"\n',
        "m.toml:2: paged_attn.memory_fraction: is the same for each of several models there",
    ),
    ("m.toml", 'command = "run"\n[[models]]\nmodel_id = "a/b"\n', "`moorage chat` talks to it"),
    (
        "d.yaml",
        "models:\n- {name: a, model_path: /m}\nruntime: {max_memory: {'cuda:0': 20GiB}}\n",
        "d.yaml:3: runtime.max_memory.cuda:0: write options.memory_fraction, the share of the card: 20GiB is 0.83 of",
    ),
    ("d.yaml", "models:\n- {name: a, model_path: /m, max_input_length: 5}\n", "max_output_length is needed too"),
    (
        "d.yaml",
        "models:\n- {name: a, model_path: /m, use_flash_attention: false, advanced_options: {sdp_backend: math}}\n",
        "sdp_backend: engines take the fastest they have; options.attention_backend names one in the",
    ),
]


@pytest.mark.parametrize(("name", "text", "wanted"), WARNED)
def test_what_has_no_effect_is_told(name: str, text: str, wanted: str) -> None:
    assert wanted in "\n".join(loaded(name, text).warnings)


@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        ("quantization: nf4", "quantization", "nf4"),
        ("quantization: bitsandbytes", "quantization", "nf4"),
        ("quantize: int8", "quantization", "int8"),
        ("quantization: awq_marlin", "quantization", "awq"),
        ("quantization: compressed-tensors", "quantization", "none"),
        ("device: cpu", "devices", ()),
        ("device: cuda", "devices", None),
        ("device: cuda:1", "devices", ("1",)),
        ("max-model-len: 32k", "max_model_len", 32000),
        ("max-model-len: 32K", "max_model_len", 32768),
        ("max-model-len: auto", "max_model_len", None),
        ("max_num_seqs: 1024", "max_sequences", 256),
        ("enforce-eager: true", "cuda_graphs", False),
        ("no-enable-prefix-caching: true", "prefix_caching", False),
        ("cpu-offload-gb: 4", "cpu_offload", 4 << 30),
        ("kv-cache-dtype: fp8_e5m2", "kv_cache_dtype", "fp8"),
        ("rope-scaling: {rope_type: linear, factor: 2.0}", "rope_scaling.type", "linear"),
        ("hf-overrides: {rope_parameters: {rope_type: yarn, factor: 4.0}}", "rope_scaling.factor", 4.0),
        ("lora-modules: {name: x, path: org/x}", "lora", {"x": "org/x"}),
    ],
)
def test_a_flag_of_vllm_becomes_an_option_for_every_engine(text: str, option: str, value: object) -> None:
    (model,) = loaded("v.yaml", f"model: a/b\n{text}\n").config.models.local
    found: object = model.options
    for part in option.split("."):
        found = getattr(found, part)
    assert found == value
    assert model.engine == "auto"


@pytest.mark.parametrize(
    ("text", "flag", "value"),
    [
        ("quantization: torchao", "quantization", "torchao"),
        ("enable-expert-parallel: true", "enable-expert-parallel", True),
        ("speculative_config: {method: ngram}", "speculative-config", '{"method": "ngram"}'),
        ("hf-overrides: {num_experts: 2}", "hf-overrides", '{"num_experts": 2}'),
        ("hf-overrides: {rope_parameters: {rope_type: llama3, factor: 8}}", "hf-overrides", None),
        ("load-format: dummy", "load-format", "dummy"),
    ],
)
def test_what_only_vllm_has_makes_the_engine_vllm(text: str, flag: str, value: object) -> None:
    (model,) = loaded("v.yaml", f"model: a/b\n{text}\n").config.models.local
    assert model.engine == "vllm"
    assert value in (None, model.options.extra_args[flag])


@pytest.mark.parametrize(
    ("word", "task"),
    [("embed", "embed"), ("embedding", "embed"), ("score", "rerank"), ("generate", "generate"), ("auto", "auto")],
)
def test_the_task_vllm_had_once(word: str, task: str) -> None:
    assert loaded("v.yaml", f"model: a/b\ntask: {word}\n").config.models.local[0].task == task


def test_names_are_what_the_engine_answered_to() -> None:
    names = [
        loaded("v.yaml", f"model: {model}\n").config.models.local[0].name
        for model in ("Qwen/Qwen3-8B", "/data/my models/qwen.gguf", "C:\\models\\qwen", "'/模型/千问'", "./x/")
    ]
    assert names == ["Qwen/Qwen3-8B", "qwen", "qwen", "model", "x"]


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_files_that_windows_wrote(mark: str) -> None:
    text = unified('"path": "C:\\\\models\\\\chat"').replace("\n", "\r\n").encode(mark)
    assert loaded("models.json", text).config.models.local[0].source == "C:\\models\\chat"


def test_a_variable_may_stand_for_a_value() -> None:
    text = "model: ${M}\nport: ${P:-8005}\ndtype: ${D:-float16}\napi-key: ${K:-abc}\nuvicorn-log-level: ${L:-debug}\n"
    Path("v.yaml").write_text(text)
    config = load("v.yaml", environ={**ENVIRONMENT, "M": "a/b"}).config
    assert (config.server.port, config.models.local[0].options.dtype, config.logging.level) == (
        8005,
        "float16",
        "debug",
    )
    assert config.models.local[0].source == "a/b"
    assert config.auth.keys[0].key.get_secret_value() == "abc"


def test_an_unset_variable_is_told_in_the_words_of_the_file() -> None:
    wanted = "v.yaml:2: port: the variable PORT_OF_IT is not set; set it, or write ${PORT_OF_IT:-default}"
    assert refusal("v.yaml", "model: a/b\nport: ${PORT_OF_IT}\n") == wanted


def test_an_unset_variable_in_what_has_no_effect_is_none() -> None:
    assert loaded("g.yaml", "database: {password: '${DB_PASSWORD}', port: '${DB_PORT}'}\n").config.server.port == 8000


def test_secrets_are_in_no_message() -> None:
    secret = "hunter2-verysecret"
    told = [
        refusal("g.yaml", f"auth: {{jwt_secret: [{secret}]}}\n"),
        refusal("g.yaml", f"database: {{port: {secret}}}\n"),
        refusal("v.yaml", f"model: a/b\napi-key: {{a: {secret}}}\n"),
        refusal("v.yaml", f"model: a/b\napi-key: ['{secret} x']\n"),
        "".join(loaded("g.yaml", f"auth: {{jwt_secret: {secret}}}\nredis: {{password: {secret}}}\n").warnings),
        "".join(loaded("v.yaml", f"model: a/b\nhf-token: {secret}\n").warnings),
    ]
    assert secret not in "".join(told)


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("gpu_memory_utilization: 0.5", "unknown option; it is options.memory_fraction here"),
        ("enforce_eager: true", "unknown option; it is options.cuda_graphs here, the other way round"),
        ("swap_space: 4", "unknown option; vLLM has no swap space any more"),
        ("max-gpu-memory: 4", "unknown option; no version of vLLM had it; write options.memory_fraction"),
    ],
)
def test_vllms_flags_in_our_own_file(option: str, wanted: str) -> None:
    assert wanted in refusal("m.yaml", f"models: [{{name: a, source: /m, options: {{{option}}}}}]")


def test_what_is_no_foreign_file_is_moorages_own() -> None:
    for text in ("server: {port: 1}\nmodels: [{name: a, source: b}]", "", "cache_dir: /x", "workers: {queue_size: 1}"):
        assert not loaded("m.yaml", text).format.foreign
    assert "port: unknown option; did you mean server.port?" in refusal("m.yaml", "port: 1")
    assert "models.local[0].name: is required" in refusal("m.yaml", "models: [{source: a}]")
