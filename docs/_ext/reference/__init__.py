"""Generates parts of the reference from the code.

A page marks them with a comment such as ``<!-- generated: commands -->``.

When Sphinx reads a page, each such comment is replaced by the text of its writer. A comment contains a kind,
such as ``api``, and arguments, such as ``segzoo create Segmenter``. The files on disk do not change.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))  # for hubconf.py

from reference import api, commands, exceptions, files, hooks, links, members, recipes  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

#: The writer of each kind, which turns its arguments into Markdown.
WRITERS: dict[str, Callable[..., str]] = {
    "module": api.module,
    "api": api.room,
    "hub": api.hub,
    "pytest": api.pytest_plugin,
    "commands": commands.every_command,
    "recipe": recipes.keys,
    "steps": recipes.steps,
    "options": recipes.options,
    "aliases": recipes.aliases,
    "hooks": hooks.every_hook,
    "specs": hooks.every_spec,
    "tree": exceptions.tree,
    "exceptions": exceptions.every_exception,
    "config": files.config,
    "outputs": files.outputs,
}

_COMMENT = re.compile(r"^<!-- generated: (\w+)((?: [\w.]+)*) -->$", flags=re.MULTILINE)


def written(text: str) -> str:
    """Return a page whose comments are replaced by generated text."""
    return _COMMENT.sub(lambda found: WRITERS[found[1]](*found[2].split()), text)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = written(source[0])


def _outdated(app: Sphinx, env: BuildEnvironment, *_: set[str]) -> list[str]:
    """Return the pages that every build reads again, since the code may have changed."""
    files = ((page, Path(env.doc2path(page))) for page in env.found_docs)
    return [page for page, file in files if file.suffix == ".md" and _COMMENT.search(file.read_text("utf-8"))]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the functions that Sphinx calls."""
    app.connect("source-read", _read)
    app.connect("env-get-outdated", _outdated)
    # Before napoleon, which would list attributes without defaults.
    app.connect("autodoc-process-docstring", members.tell, priority=400)
    app.connect("autodoc-process-signature", members.spell_out)
    app.connect("doctree-read", links.choose)
    app.connect("missing-reference", links.resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
