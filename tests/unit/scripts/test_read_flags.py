"""The flags of a command line, read out of its sources without importing them."""

import subprocess
import sys
import zipfile
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "scripts" / "read_flags.py"
ARGPARSE = (
    'import nowhere\nparser.add_argument("--model-path", "--model", type=str)\nparser.add_argument("positional")\n'
)
CLICK = '@click.option("--max_seq_len", "-l", type=int)\n@optgroup.option("--tp_size")\ndef serve(): ...\n'
FIELDS = """
class Serving(Struct):
    host: A[str, "The host."] = "x"
    model_path: A[str, Arg(help="Where.", aliases=["--model"])]
    hidden: A[bool, Arg(no_cli=True)] = False
    renamed: A[int, Arg(cli_name="--other-name")] = 1
    plain: int = 3
"""


def read(*arguments: str) -> list[str]:
    ran = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=True)
    first, *flags = ran.stdout.splitlines()
    assert first.startswith("# ")
    return flags


def test_each_way_of_declaring_them(tmp_path: Path) -> None:
    for number, (source, flags) in enumerate(
        (
            (ARGPARSE, ["--model", "--model-path"]),
            (CLICK, ["--max_seq_len", "--tp_size", "-l"]),
            (FIELDS, ["--host", "--model", "--model-path", "--other-name"]),
        )
    ):
        path = tmp_path / f"args{number}.py"
        path.write_text(source)
        assert read(str(path)) == flags


def test_a_wheel_as_far_as_it_is_asked_for(tmp_path: Path) -> None:
    wheel = tmp_path / "engine-1.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("engine/args.py", ARGPARSE)
        archive.writestr("engine/other.py", CLICK)
    assert read(str(wheel), "engine/args") == ["--model", "--model-path"]
    assert len(read(str(wheel))) == 5
