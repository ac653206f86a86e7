"""The documentation site: `bash scripts/docs.sh`."""

import re
from typing import Any

import jmeta

project = "jmeta"
author = "The jmeta authors"
copyright = "2026, the jmeta authors"
release = jmeta.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}

html_theme = "furo"
html_title = f"jmeta {release}"
html_static_path = []

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
default_role = "code"


def formulas(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Indented blocks of a docstring are formulas, which stand as they are; napoleon's sections are left alone."""
    section, out, literal = False, [], False
    for i, line in enumerate(lines):
        section = section or line.rstrip() in SECTIONS
        indented = line.startswith("    ") and not section
        if indented and not literal and (i == 0 or not lines[i - 1].strip()):
            out += ["::", ""]
            literal = True
        if line.strip() and not line.startswith(" "):
            literal = False
        out.append(line if literal else plain(line))
    lines[:] = out


def plain(line: str) -> str:
    """A bar outside code is a bar, and starts no substitution."""
    parts = line.split("`")
    return "`".join(part if i % 2 else part.replace("|", "\\|") for i, part in enumerate(parts))


def once(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """An object that two modules export is described in the first. Fields of a NamedTuple that say nothing,
    and methods that scikit-learn makes, are in none."""
    field = (getattr(obj, "__doc__", None) or "").startswith("Alias for field number")
    if field or (name.startswith("set_") and name.endswith("_request")):
        return True
    if what == "module" and hasattr(obj, "__qualname__"):
        place = (app.env.docname, app.env.temp_data.get("autodoc:module"))
        return True if DESCRIBED.setdefault(f"{obj.__module__}.{obj.__qualname__}", place) != place else None
    return None


def intervals(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """A mean and its interval stay on one line of a table."""
    if "body" in context:
        one = lambda match: match[0].replace(" +- ", "&nbsp;±&nbsp;")
        context["body"] = re.sub(r"<td.*?</td>", one, context["body"], flags=re.S)


SECTIONS = ("Args:", "Attributes:", "Returns:", "Raises:", "Example:", "Examples:", "Yields:", "Note:")
DESCRIBED: dict[str, tuple[str, str | None]] = {}


def setup(app: Any) -> None:
    """The hooks; formulas are found before napoleon looks for sections."""
    app.connect("autodoc-process-docstring", formulas, priority=400)
    app.connect("autodoc-skip-member", once)
    app.connect("html-page-context", intervals)
