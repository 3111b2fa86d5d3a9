"""A page of HTML that holds everything in itself: no script, no network, light and dark, wide and narrow."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from smartmoney.reports.drawing import Picture
from smartmoney.reports.palette import DARK, LIGHT, css_variables

_STYLE = """
:root { color-scheme: light dark; LIGHT }
@media (prefers-color-scheme: dark) { :root { DARK } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink); background: var(--surface);
  margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.8rem 0 .5rem; padding-top: .9rem; border-top: 1px solid var(--line); }
h3 { font-size: .95rem; margin: 1.4rem 0 .3rem; overflow-wrap: anywhere; }
p, li { max-width: 46rem; } p { margin: .5rem 0; } ul { padding-left: 1.2rem; margin: .4rem 0; }
.faint { color: var(--faint); font-size: .9rem; } .lead { font-size: 1.08rem; } .lead p { margin: .35rem 0; }
.verdict { border-left: 4px solid var(--blue); background: var(--panel); padding: .7rem 1rem;
  margin: 1.2rem 0; border-radius: 0 6px 6px 0; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: .6rem; margin: 1.2rem 0; }
.tile { background: var(--panel); border-radius: 6px; padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.25rem; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--faint); font-size: .82rem; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: 0; }
th { color: var(--faint); font-weight: 600; }
.text { text-align: left; } .words { text-align: left; white-space: normal; min-width: 13rem; }
.named { white-space: nowrap; }
.swatch { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .45em; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .86rem; }
summary { cursor: pointer; color: var(--faint); font-size: .9rem; }
figure { margin: .8rem 0; } svg { width: 100%; height: auto; display: block; } svg text { font-family: inherit !important; }
.narrow { display: none; }
@media (max-width: 640px) { body { padding: 1.2rem .9rem 3rem; } .wide { display: none; } .narrow { display: block; }
  .tiles { grid-template-columns: 1fr 1fr; } .tile b { font-size: 1.1rem; } h1 { font-size: 1.35rem; } }
@media print { body { max-width: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Return a whole page."""
    style = _STYLE.replace("LIGHT", css_variables(LIGHT)).replace("DARK", css_variables(DARK))
    return "\n".join(
        (
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{style}</style></head><body>",
            *parts,
            "</body></html>",
            "",
        )
    )


def table(headings: Mapping[str, str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table that scrolls sideways. Headings by name, each with the class of its column: "" (numbers), "text" or "words".

    Cells are HTML already.
    """
    classes = [f' class="{kind}"' if kind else "" for kind in headings.values()]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(headings, classes, strict=True))
    body = "\n".join(f"<tr>{''.join(f'<td{kind}>{cell}</td>' for cell, kind in zip(line, classes, strict=True))}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def folded(summary: str, content: str, *, is_open: bool) -> str:
    """Return content that a reader folds and unfolds; no script is needed."""
    return f"<details{' open' if is_open else ''}><summary>{escape(summary)}</summary>{content}</details>"


def figure(picture: Picture, what: str) -> str:
    """Return a drawing for both widths; `what` is read aloud in its place."""
    parts = (f'<div class="{name}" role="img" aria-label="{escape(what)}">{getattr(picture, name)}</div>' for name in ("wide", "narrow"))
    return f"<figure>{''.join(parts)}</figure>"


def tiles(numbers: Iterable[tuple[str, str]]) -> str:
    """Return large numbers with what they are."""
    cells = (f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for name, value in numbers)
    return f'<div class="tiles">{"".join(cells)}</div>'


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>"


def bullets(lines: Iterable[str]) -> str:
    """Return a list of plain lines."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def swatch(role: str, text: str) -> str:
    """Return a text with a spot of its colour before it."""
    return f'<span class="named"><span class="swatch" style="background: var(--{escape(role)})"></span>{escape(text)}</span>'
