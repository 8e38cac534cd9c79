"""A table that its reader can sort and filter, in a page that fetches nothing."""

import html
import itertools

import numpy as np
import pandas as pd

_STYLE = """<style>
.fau-table{overflow-x:auto;margin:1rem 0}
.fau-table table{border-collapse:collapse;font-size:.85em}
.fau-table caption{caption-side:top;text-align:left;padding:.3rem 0}
.fau-table th,.fau-table td{padding:.3rem .5rem;text-align:left;border-bottom:1px solid #8888}
.fau-table td{min-width:5em}
.fau-table td.w{min-width:18em}
.fau-table th,.fau-table td.n{white-space:nowrap}
.fau-table td.n{min-width:0;text-align:right;font-variant-numeric:tabular-nums}
.fau-table tr>:first-child{position:sticky;left:0;background-clip:padding-box}
.fau-table tr>:first-child{background-color:var(--pst-color-background,var(--jp-layout-color0,Canvas))}
.fau-table button{font:inherit;font-weight:bold;color:inherit;background:none;border:0;padding:0;cursor:pointer}
.fau-table button:focus-visible,.fau-table input:focus-visible{outline:2px solid}
.fau-table [aria-sort=ascending] button::after{content:" \\25B2"}
.fau-table [aria-sort=descending] button::after{content:" \\25BC"}
</style>"""

# what is empty comes last whichever way the rest is sorted
_SCRIPT = """<script>
document.querySelectorAll(".fau-table:not([data-ready])").forEach(box=>{
  box.dataset.ready="";
  const body=box.querySelector("tbody"),heads=[...box.querySelectorAll("thead th")],said=box.querySelector("output");
  const rows=[...body.rows];
  heads.forEach((head,i)=>head.querySelector("button").addEventListener("click",()=>{
    const up=head.getAttribute("aria-sort")!=="ascending";
    heads.forEach(other=>other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort",up?"ascending":"descending");
    const key=row=>row.cells[i].dataset.v??row.cells[i].textContent;
    const number=rows.every(row=>key(row)===""||!isNaN(key(row)));
    rows.sort((a,b)=>{
      const x=key(a),y=key(b);
      if(x===""||y==="")return (x==="")-(y==="");
      return (number?x-y:x.localeCompare(y))*(up?1:-1)});
    body.append(...rows)}));
  box.querySelector("input").addEventListener("input",event=>{
    const words=event.target.value.toLowerCase().split(/\\s+/).filter(Boolean);
    rows.forEach(row=>{const text=row.textContent.toLowerCase();row.hidden=!words.every(word=>text.includes(word))});
    said.textContent=rows.filter(row=>!row.hidden).length+" of "+rows.length+" rows"})});
</script>"""

_NUMBER = itertools.count()
SENTENCE = 40
"""Characters from which a column holds sentences, and gets room for them."""


def sortable(table: pd.DataFrame, *, caption: str, keys: pd.DataFrame | None = None) -> str:
    """A table as HTML with a button in each heading that sorts, and a field that filters.

    Works by keyboard and with a screen reader, and without JavaScript it is still the table. Give it to
    ``IPython.display.HTML``.

    Parameters
    ----------
    table : DataFrame
        What is shown; the first column names the row. Text is escaped, what is missing is an empty cell.
    caption : str
    keys : DataFrame, optional
        Numbers to sort by, for columns whose text holds more than a number; ``nan`` sorts last.
    """
    name = f"fau-table-{next(_NUMBER)}"
    head = "".join(f'<th scope="col"><button type="button">{_text(title)}</button></th>' for title in table)
    wide = {title for title in table if table[title].astype(str).str.len().max() > SENTENCE}
    body = "".join(
        "<tr>" + "".join(_cell(table, keys, row, place, wide=wide) for place in range(table.shape[1])) + "</tr>"
        for row in range(len(table))
    )
    return (
        f'{_STYLE}<div class="fau-table" id="{name}" role="region" aria-label="{_text(caption)}" tabindex="0">'
        f'<label for="{name}-words">Show rows with</label> <input type="search" id="{name}-words"> '
        f'<output for="{name}-words">{len(table)} of {len(table)} rows</output>'
        f"<table><caption>{_text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"{_SCRIPT}"
    )


def _cell(table: pd.DataFrame, keys: pd.DataFrame | None, row: int, place: int, *, wide: set[str]) -> str:
    title, value = table.columns[place], table.iloc[row, place]
    shown = "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value)
    by = value
    if keys is not None and title in keys:
        by = keys[title].iloc[row]
    number = isinstance(by, (int, float, np.number)) and not isinstance(by, bool)
    sorts = "" if not number or pd.isna(by) else f"{by:.10g}"
    attribute = f' data-v="{sorts}"' if number else ""
    if place == 0:
        return f'<th scope="row"{attribute}>{_text(shown)}</th>'
    kind = ' class="n"' if number else ' class="w"' if title in wide else ""
    return f"<td{kind}{attribute}>{_text(shown)}</td>"


def _text(value: object) -> str:
    return html.escape(str(value))
