"""Makes the small encoders beside this file and what transformers computes with them. See README.md."""

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

torch: Any = importlib.import_module("torch")
transformers: Any = importlib.import_module("transformers")

HERE = Path(__file__).parent
WORDS = 48
SMALL = {"vocab_size": WORDS, "num_labels": 3, "initializer_range": 0.5}
BERT = {
    **SMALL,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
ROBERTA = {**BERT, "type_vocab_size": 1, "pad_token_id": 1, "layer_norm_eps": 1e-5}
DISTILBERT = {
    **SMALL,
    "dim": 16,
    "n_heads": 2,
    "n_layers": 2,
    "hidden_dim": 24,
    "max_position_embeddings": 40,
}
# Positions far enough apart for every bucket of the relative bias.
MPNET = {**BERT, "max_position_embeddings": 202, "layer_norm_eps": 1e-5}
ELECTRA = {**BERT, "embedding_size": 8}
MODERN = {
    **BERT,
    "num_hidden_layers": 3,
    "global_attn_every_n_layers": 2,
    "local_attention": 6,
    "pad_token_id": 0,
    "cls_token_id": 2,
    "bos_token_id": 2,
    "sep_token_id": 3,
    "eos_token_id": 3,
}
NOMIC = {**BERT, "pad_token_id": 0}

MODELS: dict[str, tuple[str, dict[str, Any], str]] = {
    "bert-sequence": ("BertForSequenceClassification", BERT, "float32"),
    "bert-tokens": ("BertForTokenClassification", {**BERT, "hidden_act": "gelu_new"}, "float16"),
    "roberta-sequence": ("RobertaForSequenceClassification", ROBERTA, "float16"),
    "roberta-tokens": ("RobertaForTokenClassification", {**ROBERTA, "type_vocab_size": 2}, "bfloat16"),
    "xlm-roberta-sequence": ("XLMRobertaForSequenceClassification", {**ROBERTA, "num_labels": 1}, "float32"),
    "xlm-roberta-tokens": ("XLMRobertaForTokenClassification", ROBERTA, "float16"),
    "camembert-sequence": ("CamembertForSequenceClassification", ROBERTA, "bfloat16"),
    "camembert-tokens": ("CamembertForTokenClassification", ROBERTA, "float16"),
    "distilbert-sequence": ("DistilBertForSequenceClassification", DISTILBERT, "float32"),
    "distilbert-tokens": ("DistilBertForTokenClassification", {**DISTILBERT, "activation": "relu"}, "bfloat16"),
    "mpnet-sequence": ("MPNetForSequenceClassification", MPNET, "float16"),
    "mpnet-tokens": ("MPNetForTokenClassification", MPNET, "bfloat16"),
    "electra-sequence": ("ElectraForSequenceClassification", ELECTRA, "float32"),
    "electra-tokens": ("ElectraForTokenClassification", {**ELECTRA, "hidden_act": "gelu_pytorch_tanh"}, "float16"),
    "modernbert-sequence": ("ModernBertForSequenceClassification", {**MODERN, "classifier_pooling": "mean"}, "float32"),
    "modernbert-tokens": ("ModernBertForTokenClassification", {**MODERN, "norm_bias": True}, "bfloat16"),
    "nomic-sequence": ("NomicBertForSequenceClassification", NOMIC, "float32"),
    "nomic-tokens": ("NomicBertForTokenClassification", NOMIC, "bfloat16"),
}
SENTENCES = (
    "The ship is moored in the harbour.",
    "A vessel lies at anchor in the port.",
    "Quarterly revenue rose by eleven percent, ahead of what analysts had expected, on strong demand abroad.",
    "Grüße aus Łódź! 東京 😀",
)


def small(name: str, class_name: str, settings: dict[str, Any], dtype: str, seed: int) -> None:
    """One folder: config.json, model.safetensors in `dtype`, and reference.npz computed from them in float32."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    kind = getattr(transformers, class_name)
    model = kind(kind.config_class(**settings)).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            norm = parameter.ndim == 1 and parameter_name.endswith("weight")
            parameter.normal_(1.0 if norm else 0.0, 0.3)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    longest = settings["max_position_embeddings"] - (2 if settings.get("pad_token_id") == 1 or "mpnet" in name else 0)
    inputs = texts(longest, settings.get("pad_token_id", 1 if "mpnet" in name else 0), seed)
    if "token_type_ids" in inputs and settings.get("type_vocab_size", 2) == 1:
        del inputs["token_type_ids"]
    if name.startswith(("distilbert", "mpnet", "modernbert")):
        del inputs["token_type_ids"]
    with torch.no_grad():
        result = model(**{key: torch.from_numpy(value) for key, value in inputs.items()}, output_hidden_states=True)
        states = getattr(model, model.base_model_prefix)(
            **{key: torch.from_numpy(value) for key, value in inputs.items()}
        ).last_hidden_state
    np.savez_compressed(
        folder / "reference.npz",
        **inputs,
        last_hidden_state=states.numpy() * inputs["attention_mask"][:, :, None],
        logits=result.logits.numpy(),
    )


def texts(longest: int, padding: int, seed: int) -> dict[str, Any]:
    """Four texts of different lengths, one of them at the limit, padded at the end."""
    random = np.random.default_rng(seed)
    lengths = np.array([longest, 5, 1, longest // 2])
    mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    ids = np.where(mask == 1, random.integers(4, WORDS, mask.shape), padding)
    kinds = np.where(np.arange(longest) < lengths[:, None] // 2, 0, mask)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds}


def minilm(folder: Path) -> None:
    """Vectors of all-MiniLM-L6-v2 for a few sentences, and every hidden state of the first."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    inputs = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][:, :, None]
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
    first = int(mask[0].sum())
    (HERE / "minilm.json").write_text(json.dumps({"sentences": SENTENCES}, ensure_ascii=False, indent=1) + "\n")
    np.savez_compressed(
        HERE / "minilm.npz",
        **{key: value.numpy() for key, value in inputs.items()},
        first=states[0, :first].numpy(),
        vectors=vectors.numpy(),
    )


if __name__ == "__main__":
    for number, (name, (class_name, settings, dtype)) in enumerate(MODELS.items()):
        small(name, class_name, settings, dtype, number)
    minilm(Path(sys.argv[1]))
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, numpy {np.__version__}")
