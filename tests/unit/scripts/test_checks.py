import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[3] / "scripts"


def check(script: str, *arguments: str) -> tuple[int, list[str]]:
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()


def test_a_file_that_is_too_long_is_named(tmp_path: Path) -> None:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "deep" / "long.py").write_text("x = 1\n" * 601)
    (tmp_path / "tests" / "fits.py").write_text("x = 1\n" * 600)
    code, problems = check("check_sizes.py", str(tmp_path))
    assert code == 1
    assert problems == ["src/deep/long.py: 601 lines, the limit is 600: split it by noun"]


def test_no_file_of_ours_is_too_long() -> None:
    assert check("check_sizes.py") == (0, [])


def test_pages(tmp_path: Path) -> None:
    code, problems = check("check_docs.py", "--root", str(tmp_path))
    assert code == 1
    pages = ("cli", "config", "environment", "errors", "foreign", "metrics", "routes")
    stale = [f"docs/reference/{name}.md" for name in pages]
    assert [line.split(":")[0] for line in problems] == stale

    (tmp_path / "README.md").write_text(GOOD)
    assert check("check_docs.py", "--root", str(tmp_path), "--write") == (0, [])
    assert check("check_docs.py", "--root", str(tmp_path)) == (0, [])
    config = (tmp_path / "docs" / "reference" / "config.md").read_text()
    assert (
        "| `port` ↻ | Port to listen on; 0 takes a free one. 0 to 65535. | `8000` | `MOORAGE_SERVER_PORT` |" in config
    )
    assert "## moorage serve" in (tmp_path / "docs" / "reference" / "cli.md").read_text()
    assert "| `POST /v1/rerank` |" in (tmp_path / "docs" / "reference" / "routes.md").read_text()
    assert "| `model_not_found` | 404 |" in (tmp_path / "docs" / "reference" / "errors.md").read_text()


GOOD = """\
# A page

[here](#a-page) [there](docs/reference/cli.md) [deep](docs/reference/cli.md#moorage-serve) [out](https://example.org/x)
`[no](link)`

```yaml
# moorage.yaml
server: {port: "${PORT:-8000}"}
auth: {keys: ["${file:/run/secrets/key}", "${KEY}"]}
```

```yaml
something: else
```

```console
$ PORT=1 moorage serve -c moorage.yaml --port 9000 2>log.txt | tee out & # comment
moorage nonsense in the output
$ .venv/bin/moorage config show \\
>   --sources && moorage version --json
$ curl -s http://127.0.0.1:8000/v1/models | jq '.data[0].id'
```

```sh
moorage --help
moorage
# moorage nothing
echo "moorage nonsense"
```

```text
moorage nonsense
```
"""


BAD = [
    ("[x](nowhere.md)", ":1: the link nowhere.md leads nowhere"),
    ("\n\n![x](pic.png 'title')", ":3: the link pic.png leads nowhere"),
    ('<img alt="x" src="pic.svg">', ":1: the link pic.svg leads nowhere"),
    ("# A\n[x](#b)", ":2: the link #b leads to no heading of page03.md"),
    ("```console\n$ moorage srve\n```", ":2: `moorage srve`: No such command 'srve'."),
    ("```bash\n\nmoorage serve --prot 1\n```", ":3: `moorage serve --prot 1`: No such option"),
    ("```sh\ntrue && moorage config chek\n```", ":2: `moorage config chek`: No such command 'chek'."),
    ("```sh\nmoorage serve --port x\n```", "is not a valid integer"),
    ("```sh\nmoorage version now\n```", "Got unexpected extra argument"),
    (
        "```yaml\n# moorage.yaml\nserver:\n  prot: 1\n```",
        ":2: moorage.yaml:3: server.prot: unknown option",
    ),
    ("```yaml\n# moorage.yaml\nserver: [\n```", "not YAML"),
]


def test_bad_pages(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number, (page, _) in enumerate(BAD):
        (folder / f"page{number:02}.md").write_text(page)
    code, problems = check("check_docs.py", "--root", str(tmp_path), "--write")
    assert code == 1
    assert len(problems) == len(BAD)
    for number, (problem, (_, wanted)) in enumerate(zip(problems, BAD, strict=True)):
        assert problem.startswith(f"docs/page{number:02}.md:")
        assert wanted in problem
