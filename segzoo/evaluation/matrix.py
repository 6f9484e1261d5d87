"""The confusion matrix as a part of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.evaluation.elements import table
from segzoo.printing import markup

if TYPE_CHECKING:
    from segzoo.evaluation.results import Evaluation

#: A matrix of more classes is too wide to read; its largest confusions are listed instead.
_WIDEST = 32
_LISTED = 20


def confusion_section(evaluation: Evaluation) -> str:
    """Return the matrix in per cent of the true pixels, or its largest entries where it is too wide."""
    names, counts = evaluation.labels.classes, evaluation.confusion
    if len(names) > _WIDEST:
        return _largest_confusions(evaluation)
    head = "".join(f'<th scope="col">{markup(name)}</th>' for name in names)
    rows = []
    for name, row in zip(names, counts.tolist(), strict=True):
        total = sum(row)
        cells = "".join(_cell(pixels, total) for pixels in row)
        rows.append(f'<tr><th scope="row">{markup(name)}</th>{cells}<td>{total:,}</td></tr>')
    return (
        '<section>\n<h2>Confusion matrix</h2>\n<div class="wide"><table class="confusion">'
        f'<thead><tr><th scope="col">truth \\ prediction</th>{head}<th scope="col">true pixels</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>\n"
        '<p class="rule">Each row tells what became of the true pixels of a class, in per cent of them.</p>\n'
        "</section>"
    )


def _cell(pixels: int, total: int) -> str:
    if not total:
        return '<td class="muted">\N{EN DASH}</td>'
    share = pixels / total
    full = ' class="full"' if share > 0.6 else ""
    # What is rare is told from what never happened.
    text = f"{share:.1%}" if pixels == 0 or share >= 0.0005 else "&lt;0.1%"
    return f'<td{full} style="--share:{share:.3f}" title="{pixels:,} pixels">{text}</td>'


def _largest_confusions(evaluation: Evaluation) -> str:
    names, counts = evaluation.labels.classes, evaluation.confusion
    pairs = [
        (int(counts[true, found]), true, found)
        for true in range(len(names))
        for found in range(len(names))
        if true != found and counts[true, found]
    ]
    totals = counts.sum(axis=1)
    rows = [
        (markup(names[true]), markup(names[found]), f"{pixels:,}", f"{pixels / totals[true]:.1%}")
        for pixels, true, found in sorted(pairs, reverse=True)[:_LISTED]
    ]
    header = ("truth", "predicted as", "pixels", "of the true pixels")
    return (
        f"<section>\n<h2>Largest confusions</h2>\n{table(header, rows)}\n"
        f'<p class="rule">The matrix of all {len(names)} classes is in report.json.</p>\n</section>'
    )
