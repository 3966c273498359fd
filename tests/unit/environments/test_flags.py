import pytest

from moorage.environments.flags import flags

ARGPARSE = """\
usage: vllm serve [model_tag] [options] [--not-here NOT_HERE]

Search by using: `--help=<ConfigGroup>` to explore options by section (e.g.,
or --max-model-lenient, which is no flag of it)

options:
  -h, --help            show this help message and exit
  --api-server-count API_SERVER_COUNT, -asc API_SERVER_COUNT
                        How many. Instead of --swap-space, which is gone, use
                        --cpu-offload-gb
  --enable-lora, --no-enable-lora
                        (default: False)
  --dtype {auto,bfloat16,float16,granite-20b-fc}
                        Data type.
  --[no-]old-style      Both ways
"""
CLICK = """\
Usage: transformers serve [OPTIONS] [FORCE_MODEL]

Options:
  --continuous-batching / --no-continuous-batching
                                  Enable it. Configure with --cb-* flags.
                                  --spoken-of only
  --tp_size INTEGER               Ranks.
  -q, --quiet                     Quiet output. Equivalent to '--format quiet'.
"""
TYPER = """\
╭─ Options ────────────────────────────────────────────────────────╮
│ *  --model  -m      TEXT     The model [required]                │
│    --port           INTEGER  Where, see --host [default: 8000]   │
│    --help                    Show this message and exit.         │
╰──────────────────────────────────────────────────────────────────╯
"""
CLAP = """\
Start OpenAI-compatible HTTP server

Usage: mistralrs serve [OPTIONS]

Options:
  -p, --port <PORT>
          HTTP server port. --serve-ip was before

          [default: 1234]

      --no-ui
          Disable built-in web UI
  -m, --model-id <MODEL_ID>  HuggingFace model ID
"""
LLAMA = """\
----- common params -----

-h,    --help, --usage                  print usage and exit
-t,    --threads N                      number of CPU threads (default: -1)
                                        -1 = all
-fa,   --flash-attn [on|off|auto]       set Flash Attention use
--perf, --no-perf                       whether to enable --internal timings
-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers
-hf,   -hfr, --hf-repo <user>/<model>[:quant]
                                        Hugging Face model repository
"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            ARGPARSE,
            "-h --help --api-server-count -asc --enable-lora --no-enable-lora --dtype --old-style --no-old-style",
        ),
        (CLICK, "--continuous-batching --no-continuous-batching --tp_size -q --quiet"),
        (TYPER, "--model -m --port --help"),
        (CLAP, "-p --port --no-ui -m --model-id"),
        (
            LLAMA,
            "-h --help --usage -t --threads -fa --flash-attn --perf --no-perf -ngl --gpu-layers --n-gpu-layers "
            "-hf -hfr --hf-repo",
        ),
        ("\x1b[1m  --port\x1b[0m PORT  where", "--port"),
        ("", ""),
        ("error: unrecognized arguments: --help=all\n-1\n-- \n---\n", ""),
    ],
)
def test_each_printer(text: str, wanted: str) -> None:
    assert " ".join(flags(text)) == wanted
