"""Finds words and phrases that a reader must decode, in docs, docstrings, comments, help texts and messages.

``python tests/plain_words.py [PATH ...]`` prints what it finds; without paths, in the whole project.
``python tests/plain_words.py --measure [PATH ...]`` prints how long the sentences of each file are.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
#: What is read without paths.
ROOMS = ("README.md", "CONTRIBUTING.md", "docs", "segzoo", "plugins", "hubconf.py", "benchmarks")

#: What "training" may stand before.
_OF_TRAINING = (
    "set|part|step|image|data|loss|split|code|loop|run|script|curve|recipe|program|example|crop|process|mode|"
    "time|epoch|sample|batch|mask|engine|job|pixel|folder|machine"
)
#: A phrase, and what to write instead. `told apart` is allowed: objects are.
BANNED = {
    r"\b(?:tells?|told|telling)\b(?! apart)(?!(?: \S+){1,4} apart)": "shows, says, reports, is logged",
    r"\bhears?\b": "is called with",
    r"\blikewise\b": "write the description again",
    rf"\b(?:a|each|every|one|another) training\b(?! (?:{_OF_TRAINING}))": "the run, training",
    r"\btrainings\b": "runs",
    r"\bthe very\b": "exactly the same",
    r"\bfor want of\b": "because there is no",
    r"\bgoes? on(?: with| from)?\b|\bgoing on (?:with|from)\b|\bwent on\b": "continues",
    r"\b(?:learnt|laid out|lain)\b": "learned, arranged",
    r"\bfrom nothing\b": "from scratch",
    r"\bknows its work\b": "is pretrained",
    r"\bevery so many\b": "every N",
    r"\bas it is\b|\bas they are\b": "unchanged",
    r"\bwhat became of\b": "the state of",
    r"\bwho(?:ever)? (?:computes|wants)\b": "name the thing",
    r"\bwhatever else\b": "everything else",
    r"\bnobody knows\b": "it is not known",
    r"\b(?:thereby|therein|thereof|hence|whence|hereby|thus|upon)\b": "so, of it, in it",
    r"\bmay well\b": "may, often",
    r"\bsay(?:s)? so\b|\bis said\b|\bare said\b|\bbe said\b": "is reported, is set",
    r"\bnothing of\b": "no",
    r"\bnot so much as\b": "not even",
    r"\bbeside(?: it| them| the| each| a)\b": "next to, in addition to",
    r"\bthe house\b|\bhousehold\b": "the package",
    r"\bdo(?:es)? the same thing\b": "do the same",
}
_FRAGMENT = re.compile(r"^(?:of|likewise|who|whose|as)\b", re.IGNORECASE)
_ARGUMENT = re.compile(r"^\s{4,}(?P<name>\*{0,2}[A-Za-z_]\w*(?:, \*{0,2}\w+)*): (?P<text>.+)$")
_WORDS = re.compile(r"[A-Za-z]{2,} [a-z]{2,}.* [a-z]{2,}")


@dataclass(frozen=True)
class Text:
    """A piece of prose.

    Attributes:
        path: the file.
        line: the line on which it begins, from 1.
        kind: ``prose``, ``docstring``, ``comment`` or ``string``.
        text: without code.
    """

    path: Path
    line: int
    kind: str
    text: str


@dataclass(frozen=True)
class Finding:
    """A phrase that is not plain.

    Attributes:
        path: the file.
        line: from 1.
        phrase: what stands there.
        instead: what to write.
    """

    path: Path
    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        path = self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path
        return f"{path}:{self.line}: {self.phrase!r}; better: {self.instead}"


def texts_of(path: Path) -> Iterator[Text]:
    """Yield the prose of a Markdown or Python file."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from _of_markdown(path, source)
    elif path.suffix == ".py":
        yield from _of_python(path, source)


def _of_markdown(path: Path, source: str) -> Iterator[Text]:
    fence = ""
    for number, line in enumerate(source.splitlines(), 1):
        stripped = line.strip()
        found = re.match(r"(`{3,}|~{3,})", stripped)
        if found and (not fence or stripped == fence):
            # Directives in braces hold prose, but for literal blocks.
            fence = "" if fence else found.group(1)
            continue
        option = re.match(r":[\w-]+:(?: |$)", stripped)
        if not fence and not option and not stripped.startswith(("%", "<!--")):
            yield Text(path, number, "prose", _without_code(stripped))


def _of_python(path: Path, source: str) -> Iterator[Text]:
    tree = ast.parse(source)
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docstrings.add(id(first.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            kind = "docstring" if id(node) in docstrings else "string"
            if kind == "docstring" or _WORDS.search(node.value):
                for offset, line in enumerate(node.value.splitlines() or [""]):
                    yield Text(path, node.lineno + offset, kind, _without_code(line))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(path, token.start[0], "comment", _without_code(token.string.lstrip("#: ")))


def _without_code(text: str) -> str:
    text = re.sub(r"``[^`]*``|`[^`]*`", "CODE", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"https?://\S+", "URL", text)


def findings(path: Path) -> Iterator[Finding]:
    """Yield what is not plain in a file."""
    for text in texts_of(path):
        argument = _ARGUMENT.match(text.text) if text.kind == "docstring" else None
        # An argument may keep a name such as `told`.
        words = argument["text"] if argument else text.text
        for pattern, instead in BANNED.items():
            for found in re.finditer(pattern, words, re.IGNORECASE):
                yield Finding(path, text.line, found.group(), instead)
        if argument:
            opening = _FRAGMENT.match(argument["text"])
            if opening:
                yield Finding(path, text.line, f"{argument['name']}: {opening.group()} …", "name the thing")
        if text.kind == "prose" and text.text.startswith("|"):
            for cell in text.text.split("|"):
                if opening := re.match(r"^\s*(?:of|likewise|who|whose)\b", cell, re.IGNORECASE):
                    yield Finding(path, text.line, f"| {opening.group().strip()} …", "name the thing")


#: A sentence with more words than this is long.
LONG = 30
#: A text with fewer words than this, such as the name in a table, is not a sentence.
SHORT = 4
_ENDS = re.compile(r"(?<=[.!?])[\"')*_]*\s+(?=[\"'(\[*_]*(?:[A-Z0-9]|segzoo))")
_ITEM = re.compile(r"^(?:[-*+]|\d+[.)]|:) +")
_SECTION = re.compile(r"^\s*(?:Args|Attributes|Raises|Returns|Yields|Examples?|Note):$")


@dataclass(frozen=True)
class Measure:
    """How long sentences are.

    Attributes:
        sentences: number of sentences.
        words: number of words in all sentences.
        long: number of sentences with more than `LONG` words.
    """

    sentences: int = 0
    words: int = 0
    long: int = 0

    def __add__(self, other: Measure) -> Measure:
        return Measure(self.sentences + other.sentences, self.words + other.words, self.long + other.long)

    def __str__(self) -> str:
        counted = max(self.sentences, 1)
        return f"{self.words / counted:5.1f} {self.long / counted:7.1%} {self.sentences:6}"


def blocks_of(path: Path) -> Iterator[str]:
    """Yield paragraphs, list items, table cells, and texts of docstrings and messages, each on one line."""
    lines: list[str] = []
    last: Text | None = None
    for text in sorted(texts_of(path), key=lambda one: (one.kind, one.line)):
        words = text.text.strip()
        cells = text.kind == "prose" and words.startswith("|")
        heading = (text.kind == "prose" and words.startswith("#")) or _SECTION.match(text.text)
        argument = _ARGUMENT.match(text.text) if text.kind == "docstring" else None
        follows = last is not None and last.kind == text.kind and last.line + 1 == text.line
        if lines and (not words or cells or heading or argument or not follows or _ITEM.match(words)):
            yield " ".join(lines)
            lines = []
        last = text
        if cells:
            yield from (cell.strip() for cell in re.split(r"(?<!\\)\|", words))
        elif argument:
            lines = [argument["text"]]
        elif words and not heading:
            lines.append(_ITEM.sub("", words))
    if lines:
        yield " ".join(lines)


def measure(path: Path) -> Measure:
    """Return how long the sentences of a file are; code counts as one word."""
    found = Measure()
    for block in blocks_of(path):
        for sentence in _ENDS.split(block):
            count = len(re.findall(r"[A-Za-z0-9][\w'\u2019.,%-]*", sentence))
            if count >= SHORT:
                found += Measure(1, count, count > LONG)
    return found


def files_of(places: Iterable[Path]) -> Iterator[Path]:
    """Yield the Markdown and Python files in places; generated and Chinese ones left out."""
    for place in places:
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        for path in found:
            generated = {"_build", "build", ".venv", "locale"} & {*path.parts}
            if path.suffix in {".md", ".py"} and not generated and not path.name.endswith(".zh-CN.md"):
                yield path


def print_measures(paths: Iterable[Path]) -> None:
    """Print a line for each file, and one for all of them."""
    total = Measure()
    print(f"words per sentence, sentences of more than {LONG} words, sentences")
    for path in paths:
        found = measure(path)
        total += found
        print(found, path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    print(total, "in all")


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--measure"]
    paths = files_of([Path(one).resolve() for one in words] or [ROOT / one for one in ROOMS])
    if "--measure" in sys.argv[1:]:
        print_measures(paths)
        return
    count = 0
    for path in paths:
        for finding in findings(path):
            print(finding)
            count += 1
    print(f"{count} found")


if __name__ == "__main__":
    main()
