"""The look of a report: one HTML page that needs nothing else, legible in light and in dark.

`Markup` is text that is HTML already; everything else is escaped where it enters the page.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NewType

from rl_meta.analysis.canvas import COLOURS

Markup = NewType("Markup", str)

DARK = {
    "ink": "#e8ebf0",
    "muted": "#9aa5b4",
    "rule": "#303743",
    "series-0": "#62b6ec",
    "series-1": "#ff9a4d",
    "series-2": "#3fcf9f",
    "series-3": "#e79cc8",
    "series-4": "#e0c34a",
    "series-5": "#a9aef0",
}
"""The same palette on a dark page."""

CSS = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; %(light)s }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1a2028; %(dark)s } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
main { max-width: 62rem; margin: 0 auto; padding: 3rem 1.25rem 4rem }
header p { margin: 0 }
.eyebrow { color: var(--muted); font-size: .8rem; letter-spacing: .08em; text-transform: uppercase }
h1 { margin: .2rem 0 1rem; font-size: 2.3rem; line-height: 1.15; letter-spacing: -.02em }
h2 { margin: 3rem 0 .9rem; font-size: 1.25rem; letter-spacing: -.01em }
h3 { margin: 0 0 .5rem; font-size: .95rem }
.verdict { font-size: 1.2rem; line-height: 1.5; max-width: 50rem }
header .facts { margin-top: .9rem; color: var(--muted); font-size: .9rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: .75rem;
  margin: 2rem 0 0; padding: 0 }
.tiles div, .card { background: var(--card); border: 1px solid var(--rule); border-radius: .6rem }
.tiles div { padding: .85rem 1rem; display: flex; flex-direction: column }
.tiles dt { color: var(--muted); font-size: .82rem; line-height: 1.35; margin-bottom: .2rem }
.tiles dd { margin: 0 }
.tiles .value { font-size: 1.65rem; font-weight: 650; letter-spacing: -.02em; margin-top: auto }
.tiles .note { color: var(--muted); font-size: .82rem }
.card { padding: 1.1rem 1.25rem; margin: 0 0 1rem; overflow-x: auto }
figure.card svg { display: block; width: 100%%; height: auto; min-width: 38rem }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .75rem }
.grid figure.card { margin: 0; padding: .8rem .6rem .4rem .8rem }
.grid figure.card svg { min-width: 0 }
.columns { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: .75rem;
  align-items: start }
svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif !important }
table { border-collapse: collapse; width: 100%%; font-size: .9rem; font-variant-numeric: tabular-nums }
th { color: var(--muted); font-weight: 500; text-align: right; vertical-align: bottom; white-space: nowrap }
td { text-align: right }
th, td { padding: .38rem 0 .38rem 1rem; border-bottom: 1px solid var(--rule) }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
tbody tr:last-child td { border-bottom: 0 }
.settings td:last-child { overflow-wrap: anywhere }
.settings td:first-child { color: var(--muted); white-space: nowrap }
details { margin: 0 }
summary { cursor: pointer; color: var(--muted); font-size: .9rem; padding: .3rem 0 }
details .card { margin: .4rem 0 .8rem }
.numbers table { table-layout: fixed; min-width: 40rem }
.text { max-width: 46rem; margin: 0 0 1rem }
.scroll { max-height: 26rem; overflow-y: auto }
@media print { body { background: none } .card, .tiles div { break-inside: avoid } }
"""


def page(title: str, body: Iterable[Markup]) -> str:
    """The whole document."""
    css = CSS % {"light": _variables(COLOURS), "dark": _variables(DARK)}
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{css}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def header(title: str, verdict: str, facts: Sequence[str]) -> Markup:
    """Title, the finding in one sentence, and what it rests on."""
    return Markup(
        f'<header><p class="eyebrow">RL-Meta report</p><h1>{escape(title)}</h1>'
        f'<p class="verdict">{escape(verdict)}</p><p class="facts">{escape(" · ".join(facts))}</p></header>'
    )


def tiles(entries: Iterable[tuple[str, str, str]]) -> Markup:
    """Key numbers: what, the number, and a note on it."""
    cells = (
        f'<div><dt>{escape(what)}</dt><dd class="value">{escape(value)}</dd><dd class="note">{escape(note)}</dd></div>'
        for what, value, note in entries
    )
    return Markup(f'<dl class="tiles">{"".join(cells)}</dl>')


def section(heading: str, *parts: Markup) -> Markup:
    """A heading and what belongs to it."""
    return Markup(f"<section>\n<h2>{escape(heading)}</h2>\n" + "\n".join(parts) + "\n</section>")


def text(words: str) -> Markup:
    """A paragraph."""
    return Markup(f'<p class="text">{escape(words)}</p>')


def figure(svg: str, description: str) -> Markup:
    """A drawing (`canvas.to_svg`), and what it shows for those who cannot see it."""
    return Markup(f'<figure class="card" role="img" aria-label="{escape(description)}">{svg}</figure>')


def grid(parts: Iterable[Markup]) -> Markup:
    """Small multiples, as many beside one another as fit."""
    return Markup(f'<div class="grid">{"".join(parts)}</div>')


def columns(*parts: Markup) -> Markup:
    """Cards beside one another where there is room."""
    return Markup(f'<div class="columns">{"".join(parts)}</div>')


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Names in the first column, numbers in the others."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = f"<table><thead><tr>{top}</tr></thead><tbody>{_rows(rows)}</tbody></table>"
    return Markup(f'<div class="card numbers">{body}</div>')


def settings_table(heading: str, rows: Iterable[tuple[str, str]]) -> Markup:
    """Names and values."""
    body = f"<table><tbody>{_rows(rows)}</tbody></table>"
    return Markup(f'<div class="card settings"><h3>{escape(heading)}</h3>{body}</div>')


def fold(summary: str, content: Markup) -> Markup:
    """Content that opens on a click."""
    return Markup(f'<details><summary>{escape(summary)}</summary><div class="scroll">{content}</div></details>')


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
