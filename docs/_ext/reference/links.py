"""Resolves the short names in docstrings and signatures to links."""

from __future__ import annotations

import builtins
import inspect
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.ext.intersphinx import missing_reference
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from docutils.nodes import TextElement, document, reference
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

#: Full names of objects of other packages, by the names that modules use.
_ELSEWHERE = {
    "Any": "typing.Any",
    "Callable": "collections.abc.Callable",
    "Image.Image": "PIL.Image.Image",
    "Iterable": "collections.abc.Iterable",
    "Iterator": "collections.abc.Iterator",
    "Literal": "typing.Literal",
    "Module": "torch.nn.Module",
    "Mapping": "collections.abc.Mapping",
    "NDArray": "numpy.typing.NDArray",
    "Path": "pathlib.Path",
    "Sequence": "collections.abc.Sequence",
    "Tensor": "torch.Tensor",
    "nn.Module": "torch.nn.Module",
    "np.bool_": "numpy.bool",
    "np.float32": "numpy.float32",
    "np.int32": "numpy.int32",
    "np.int64": "numpy.int64",
    "np.uint8": "numpy.uint8",
}


#: The public names of objects that the reference documents twice.
_TWICE = {"Predictor": "segzoo.Predictor"}

_ROOT = Path(__file__).resolve().parents[3]
_REPOSITORY = "https://github.com/org/segzoo/blob/main"


def source(domain: str, info: dict[str, str]) -> str | None:
    """Return the address of the lines that define an object, if it is a class or function."""
    if domain != "py":
        return None
    thing: Any = import_module(info["module"])
    for name in info["fullname"].split("."):
        thing = getattr(thing, name, None)
    thing = thing.fget if isinstance(thing, property) else thing
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return None
    thing = inspect.unwrap(thing)
    try:
        file = Path(inspect.getfile(thing)).relative_to(_ROOT)
        lines, first = inspect.getsourcelines(thing)
    except (TypeError, OSError, ValueError):
        return None
    return f"{_REPOSITORY}/{file.as_posix()}#L{first}-L{first + len(lines) - 1}"


def choose(app: Sphinx, doctree: document) -> None:
    """Point ambiguous cross references at the public name, and names of builtins at Python's own.

    Otherwise a signature's `bytes` would lead to an attribute of that name.
    """
    from sphinx.addnodes import pending_xref

    for node in doctree.findall(pending_xref):
        if node.get("refdomain") == "py":
            node["reftarget"] = _TWICE.get(node["reftarget"], node["reftarget"])
            if hasattr(builtins, node["reftarget"]):
                node.attributes.pop("refspecific", None)


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: TextElement) -> reference | None:
    """Return a link to the object that a short name means, if there is one."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    found = _ours(env, target)
    if found:
        place = env.domains.python_domain.objects[found]
        return make_refnode(app.builder, node["refdoc"], place.docname, place.node_id, text, found)
    if target in _ELSEWHERE:
        node["reftarget"] = _ELSEWHERE[target]
        for kind in ("class", "data"):
            node["reftype"] = kind
            link: Any = missing_reference(app, env, node, text)
            if link is not None:
                return link
    return None


def _ours(env: BuildEnvironment, target: str) -> str:
    """Return the shortest full name that ends in the given name, or an empty text."""
    last = target.rpartition(".")[2]
    objects = env.domains.python_domain.objects
    ends = (f".{last}",) if last[:1].isupper() else (f".{target}",)
    found = [name for name in objects if name.endswith(ends) and not objects[name].aliased]
    if not last[:1].isupper():
        # A word such as `image` is an attribute of many classes; only names of modules count.
        found = [name for name in found if objects[name].objtype in ("function", "module", "data")]
    found.sort(key=lambda name: (name.count("."), len(name)))
    return found[0] if found else ""
