"""What Sphinx writes is mended for those who do not see it."""

from __future__ import annotations

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "docs/_ext"))
from readable import mend


@pytest.mark.parametrize("inside", ["", "<p></p>", "<p> </p>"])
def test_the_empty_corner_of_a_table_is_no_heading(inside: str) -> None:
    row = f'<tr><th class="head stub">{inside}</th><th class="head"><p>IoU</p></th></tr>'
    assert mend(row) == '<tr><td class="head"></td><th class="head"><p>IoU</p></th></tr>'


def test_the_lines_of_a_signature_are_no_list_of_explanations():
    dl = '<dl>\n<dd><em class="sig-param">a</em>,</dd>\n<dd><em class="sig-param">b</em>,</dd>\n</dl>'
    mended = mend(f'<dl class="py"><dt>f(\n{dl}\n)</dt><dd>text</dd></dl>')
    assert mended.startswith('<dl class="py"><dt>f(')
    assert mended.count('<span class="sig-line"><em class="sig-param">') == 2
    assert mended.endswith("</span>\n)</dt><dd>text</dd></dl>")


def test_a_list_of_terms_stays_one():
    terms = "<dl><dt>term</dt><dd><p>explanation</p></dd></dl>"
    assert mend(terms) == terms
