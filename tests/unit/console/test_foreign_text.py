"""What users wrote is text in every place where it is shown: Markdown, pages, drawings."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from marwright.console.foreign import in_markdown, one_line

NASTY = r"""[red] ; [BUG] crash ; ](x) ; ` ; `` ; | ; <b> ; <script> ; &amp; ; & ; *a* ; _b_ ; ** ; ~~x~~ ; # ; 1. a ;
- ; + ; > ; \ ; $x$ ; ![i](u) ; www.a.com ; https://a.b ; a@b.cd ; تجربة ; a_b ; tea ; C# ; é ; 50 %"""
PIECES = st.sampled_from(
    [*(each.strip() for each in NASTY.split(" ;")), " ", "  ", "\n", "\r", "\t", "\0", "\u202e", "\u2066", "\x1b[31m"]
)
FOREIGN = st.one_of(st.text(min_size=1, max_size=40), st.lists(PIECES, min_size=1, max_size=6).map("".join))


@given(FOREIGN)
@example("[red]")
@example("` `")
@example("a" + " " * 5000 + "<")
@example("_" * 5000 + "<")
def test_in_markdown_it_reads_as_it_was_written(text: str) -> None:
    if not text.strip():
        return
    shown = one_line(text)
    (opening, item, inline, *_) = [
        token
        for token in MarkdownIt("gfm-like", {"linkify": False}).parse(f"- {in_markdown(text)}")
        if token.type in ("bullet_list_open", "list_item_open", "inline")
    ]
    kinds = {child.type for child in inline.children or []}

    assert (opening.type, item.type) == ("bullet_list_open", "list_item_open")
    assert kinds <= {"text", "code_inline"}
    assert "".join(child.content for child in inline.children or []).strip() == shown.strip()


@pytest.mark.parametrize("label", ["www.a.com", "see www.a.com", "https://a.b", "a@b.cd"])
def test_an_address_is_no_link(label: str) -> None:
    assert in_markdown(label) == f"`{label}`"


@pytest.mark.parametrize(
    "label", ["refund", "lost card", "card_arrival", "Coffee, tea, mate and spices", "Birds' eggs; honey", "Käse", "茶"]
)
def test_an_ordinary_label_stays_as_it_is(label: str) -> None:
    assert in_markdown(label) == label


@given(FOREIGN)
def test_one_line_is_one_and_turns_no_direction(text: str) -> None:
    shown = one_line(text)

    assert len(f"{shown}x".splitlines()) == 1
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(one) for one in shown}
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") & set(shown)


def test_what_cannot_be_shown_is_named() -> None:
    assert one_line("a\nb\x1b[31m\u202ec") == r"a\nb\x1b[31m\u202ec"
    assert one_line("é 茶 👩‍💻 تجربة") == "é 茶 👩‍💻 تجربة"
