"""README in both languages and the first pages of the documentation: what they hold."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
READMES = (ENGLISH, CHINESE)
PAGES = (
    *READMES,
    ROOT / "docs/index.md",
    *sorted((ROOT / "docs/start").glob("*.md")),
    *sorted((ROOT / "docs/coming-from").glob("*.md")),
)
#: Whose settings the tables of a page are words for.
RECIPES = {
    "milesial.md": "milesial-carvana",
    "bubbliiiing.md": "bubbliiiing-voc",
    "nested-unet.md": "nested-dsb2018",
    "wzmiaomiao.md": "wzmiaomiao-drive",
    "mindspore.md": "mindspore-isbi",
    "smp.md": "pretrained",
}
#: What a plug-in or a folder of the reader's would bring.
OTHERS = {"mine", "mine/resnet18", "deeplab"}

FENCE = re.compile(r"^```([\w{}]*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """What a page holds."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The page without its blocks of code."""
        return FENCE.sub("", self.text)

    def blocks(self, language: str) -> list[str]:
        return [body for found, body in FENCE.findall(self.text) if found == language]

    @property
    def commands(self) -> list[str]:
        """What the page says people may type, as far as segzoo is in it."""
        shown = "".join(self.blocks("console")).replace("\\\n", "")
        typed = re.findall(r"^\$ (.*)$", shown, re.M)
        lines = [line for line in (*typed, *re.findall(r"`([^`\n]+)`", self.prose)) if "..." not in line]
        return [line for line in lines if re.search(r"^(\w+=\S+ )*(segzoo|torchrun .* segzoo) \w", line)]

    @property
    def tables(self) -> list[list[list[str]]]:
        """Tables of rows of cells, with the header and the line below it."""
        found: list[list[list[str]]] = [[]]
        for line in self.prose.splitlines():
            if line.startswith("|"):
                found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
            elif found[-1]:
                found.append([])
        return [table for table in found if table]

    @property
    def images(self) -> list[tuple[str, str]]:
        """The alternative text and the file of every picture."""
        return re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", self.prose)

    @property
    def links(self) -> list[str]:
        """Where every link leads, but for pictures and the other language."""
        targets = re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", self.prose)
        return [target for target in targets if target not in {path.name for path in READMES}]

    def figures(self) -> list[list[list[Counter[str]]]]:
        """The code and the numbers of every cell of the tables' bodies, which no language changes."""
        pattern = r"`[^`]+`|\d[\d.,]*\d|\d"
        return [
            [[Counter(re.findall(pattern, cell)) for cell in row] for row in table[1:]]
            for table in self.tables
        ]
