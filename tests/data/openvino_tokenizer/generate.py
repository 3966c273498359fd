"""Makes the files beside this one: a small BERT tokenizer, and OpenVINO's exports of it for one text and for two.

Run by hand where transformers and openvino-tokenizers are installed: python generate.py
"""

import importlib
from pathlib import Path
from typing import Any

transformers: Any = importlib.import_module("transformers")
openvino: Any = importlib.import_module("openvino")
openvino_tokenizers: Any = importlib.import_module("openvino_tokenizers")

HERE = Path(__file__).parent
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?"
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS[:36]), "boat")


def main() -> None:
    vocabulary = {word: number for number, word in enumerate((*WORDS, "harbour", "the", "in", "ship"))}
    made = transformers.BertTokenizer(vocab=vocabulary)
    made.backend_tokenizer.save(str(HERE / "tokenizer.json"))
    for name, inputs in (("single", 1), ("pairs", 2)):
        place = HERE / name
        place.mkdir(exist_ok=True)
        models = openvino_tokenizers.convert_tokenizer(made, with_detokenizer=True, number_of_inputs=inputs)
        for model, kind in zip(models, ("tokenizer", "detokenizer"), strict=True):
            openvino.save_model(model, str(place / f"openvino_{kind}.xml"))


if __name__ == "__main__":
    main()
