"""Writes the reference from the code: what stands in a page as ``<!-- generated: commands -->``.

When Sphinx reads a page, each such comment gives way to what its writer makes of the code: a comment is a
kind, such as ``api``, and what it is told, such as ``segzoo create Segmenter``. The files stay as they are.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))  # hubconf.py lies there

from reference import api, commands, exceptions, files, hooks, links, members, recipes  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

#: What writes each kind: from the words after it to Markdown.
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
    """Return a page with what its comments ask for."""
    return _COMMENT.sub(lambda found: WRITERS[found[1]](*found[2].split()), text)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = written(source[0])


def _outdated(app: Sphinx, env: BuildEnvironment, *_: set[str]) -> list[str]:
    """Name the pages that are read anew in every build, since the code may have changed."""
    files = ((page, Path(env.doc2path(page))) for page in env.found_docs)
    return [page for page, file in files if file.suffix == ".md" and _COMMENT.search(file.read_text("utf-8"))]


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx what to call when."""
    app.connect("source-read", _read)
    app.connect("env-get-outdated", _outdated)
    # Before napoleon, which would make a list of them, without defaults.
    app.connect("autodoc-process-docstring", members.tell, priority=400)
    app.connect("autodoc-process-signature", members.spell_out)
    app.connect("doctree-read", links.choose)
    app.connect("missing-reference", links.resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
