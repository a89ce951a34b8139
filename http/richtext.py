"""Markdown as HTML that may stand on any page: rendered, then cleaned of all that is not text, lists, tables, links."""

from functools import lru_cache
from typing import Final

import nh3
from markdown_it import MarkdownIt

__all__ = ["rich"]

_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])

_TAGS: Final = {
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip


@lru_cache(maxsize=4_096)
def rich(markdown: str) -> str:
    """The HTML of a text; links lead to http, https and mail addresses and tell nobody where from."""
    return nh3.clean(
        _MARKDOWN.render(markdown),
        tags=_TAGS,
        attributes={"a": {"href", "title"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener noreferrer",
    )
