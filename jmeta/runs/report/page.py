"""Parts of a page of HTML that needs nothing else. What is not HTML already is escaped, wherever it is put."""

import base64
import html
import struct
from collections.abc import Iterable, Mapping, Sequence

from jmeta.errors import printable
from jmeta.runs.report.style import STYLE

_VOID = ("img", "meta")
_SHOWN_SIZE = 0.74
"""Of the pixels of a picture: figures are drawn finer than a page shows them."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""A browser that loads the page takes nothing from elsewhere, and runs no script."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Html:
    """HTML that shows a value as it is; control characters, and names that are not UTF-8, in backslash notation.

    Example:
        >>> text("a < b"), text(tag("b", "a < b"))
        ('a &lt; b', '<b>a &lt; b</b>')
    """
    return value if isinstance(value, Html) else Html(html.escape(printable(value)))


def tag(name: str, *inside: object, **attributes: object) -> Html:
    """An element; a `_` at the end of an attribute is dropped, as in `class_`, others become `-`."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{said}>" + ("" if name in _VOID else f"{''.join(map(text, inside))}</{name}>"))


def joined(parts: Iterable[object], between: str = "") -> Html:
    """Parts one after another."""
    return Html(between.join(map(text, parts)))


def section(title: str, *inside: object) -> Html:
    """A part of the page with a heading."""
    return tag("section", tag("h2", title), *inside)


def note(sentence: str) -> Html:
    """A sentence that stands out."""
    return tag("p", sentence, class_="note")


def table(caption: str, header: Sequence[object], rows: Iterable[Sequence[object]], *, kind: str = "") -> Html:
    """A table whose first cells name the rows; it scrolls by itself where the screen is narrow."""
    head = tag("tr", *(tag("th", cell, scope="col") for cell in header))
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    whole = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", whole, class_=f"wide {kind}".strip(), tabindex="0", role="region", aria_label=caption)


def facts(pairs: Mapping[str, object]) -> Html:
    """What is known, by name."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs.items()))


def picture(png: bytes, told: str, caption: object = "") -> Html:
    """A PNG inside the page, with what it shows in words for those who can't see it."""
    width, height = (round(_SHOWN_SIZE * size) for size in struct.unpack(">II", png[16:24]))
    source = Html(f"data:image/png;base64,{base64.b64encode(png).decode()}")
    below = [tag("figcaption", caption)] if caption else []
    return tag("figure", tag("img", src=source, alt=told, width=width, height=height), *below)


def document(title: str, *body: object, made_by: str) -> str:
    """The whole file."""
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(STYLE)),
    ]
    inside = tag("body", tag("main", *body), tag("footer", tag("p", made_by)))
    return f"<!doctype html>\n{tag('html', tag('head', *head), inside, lang='en')}\n"
