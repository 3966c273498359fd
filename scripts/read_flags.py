"""Read the flags of an engine's command line out of its sources, without importing them.

    python scripts/read_flags.py sglang-0.5.9-….whl sglang/srt/server_args.py > tests/data/flags/sglang-0.5.9.txt

Understands argparse (`add_argument`), click (`option`) and SGLang's annotated fields (`name: A[type, Arg(…)]`).
"""

import ast
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path


def flags_of(source: str) -> set[str]:
    """All flags one module declares."""
    tree = ast.parse(source)
    return {flag for node in ast.walk(tree) for flag in (*_called(node), *_declared(node))}


def _called(node: ast.AST) -> Iterator[str]:
    if not isinstance(node, ast.Call):
        return
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in ("add_argument", "option"):
        for argument in node.args:
            if isinstance(argument, ast.Constant) and str(argument.value).startswith("-"):
                yield str(argument.value)


def _declared(node: ast.AST) -> Iterator[str]:
    """A class whose fields become flags: `--` and the field's name, or what its Arg says instead or besides."""
    if not isinstance(node, ast.ClassDef):
        return
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        annotation = field.annotation
        if not (isinstance(annotation, ast.Subscript) and getattr(annotation.value, "id", "") == "A"):
            continue
        said = {
            keyword.arg: ast.literal_eval(keyword.value)
            for call in ast.walk(annotation)
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Arg"
            for keyword in call.keywords
            if keyword.arg in ("cli_name", "aliases", "no_cli")
        }
        if not said.get("no_cli"):
            yield said.get("cli_name") or "--" + field.target.id.replace("_", "-")
            yield from said.get("aliases") or ()


def sources(place: Path, prefixes: tuple[str, ...]) -> Iterator[str]:
    """The Python files of a wheel or a folder whose path begins with one of these; a file itself."""
    if place.suffix == ".py":
        yield place.read_text()
    elif place.is_dir():
        found = {str(path.relative_to(place)): path for path in sorted(place.rglob("*.py"))}
        yield from (path.read_text() for name, path in found.items() if name.startswith(prefixes))
    else:
        with zipfile.ZipFile(place) as archive:
            names = [name for name in sorted(archive.namelist()) if name.startswith(prefixes) and name.endswith(".py")]
            yield from (archive.read(name).decode() for name in names)


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    place, prefixes = Path(arguments[0]), tuple(arguments[1:]) or ("",)
    flags = {flag for source in sources(place, prefixes) for flag in flags_of(source)}
    print(f"# {place.name} {' '.join(prefixes)}".rstrip())
    print(*sorted(flags), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
