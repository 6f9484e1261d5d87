"""`python docs/_ext/chinese_messages.py [PAGE ...]`: update Chinese messages to the English pages.

The texts that the zoo's pages show from the registry are messages too, in one file for all pages: zoo_parts.

New messages get an empty translation. Messages that changed keep their old translation and are marked
"fuzzy": correct them and remove the mark. Name a page, such as guides/data, to start its translation.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from languages import DOCS, MESSAGES, PARTS, translated

HEADER = b"""msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Language: zh_CN\\n"

"""

_FIXED = re.compile(r"(`+).+?\1|\]\([^)\s]+\)")  # code, and the targets of links
_WORD = re.compile(r"[A-Za-z]{2}")


def needs_translation(message: str) -> bool:
    """Whether a message has words in addition to code, addresses, numbers and signs."""
    return bool(_WORD.search(_FIXED.sub("", message)))


def extracted(names: list[str]) -> dict[str, list[str]]:
    """Return the English messages of pages, in their order; and those of the zoo's parts, if pages show them.

    Args:
        names: pages, such as "start/install".
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                *(sys.executable, "-m", "sphinx", "-q", "-b", "gettext", "-d", f"{folder}/doctrees"),
                *("-D", f"only_pages={','.join(names)}", str(DOCS), f"{folder}/messages"),
            ],
            env={**os.environ, "SEGZOO_OFFLINE": "1"},
            stderr=subprocess.DEVNULL,  # links to pages that are left out
            check=True,
        )
        files = {name: Path(folder, "messages", f"{name}.pot") for name in (*names, PARTS)}
        return {name: _messages(file) for name, file in files.items() if name != PARTS or file.is_file()}


def _messages(file: Path) -> list[str]:
    messages = [str(one.id) for one in read(file) if one.id]
    return [one for one in messages if needs_translation(one)]


def read(file: Path) -> Catalog:
    """Return the messages of a file."""
    with file.open("rb") as stream:
        return read_po(stream, locale="zh_CN")


def update(name: str, messages: list[str]) -> int:
    """Write the file of a page, and return how many of its messages need a translator.

    Args:
        name: page, such as "start/install".
        messages: its English messages, in their order.
    """
    file = MESSAGES / f"{name}.po"
    english = Catalog()
    for message in messages:
        english.add(message)
    if file.is_file():
        chinese = read(file)
        chinese.update(english, update_header_comment=False)
    else:
        chinese = Catalog(locale="zh_CN")
        chinese.update(english)
    ordered = Catalog(locale="zh_CN")
    for message in messages:
        found = chinese[message]
        assert found is not None
        ordered.add(message, found.string, flags=found.flags)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        stream.write(HEADER)
        write_po(stream, ordered, width=0, omit_header=True)
    return sum(one.fuzzy or not one.string for one in ordered if one.id)


def main() -> None:
    """Update the files of all translated pages."""
    parser = argparse.ArgumentParser(description="update the messages of the Chinese pages")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="page to translate, such as guides/data")
    names = sorted({*translated(), *parser.parse_args().pages})
    for name, messages in extracted(names).items():
        missing = update(name, messages)
        if missing:
            print(f"{name}: {missing} of {len(messages)} messages to translate")


if __name__ == "__main__":
    main()
