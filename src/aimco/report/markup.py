"""The parts of a page in HTML: every word from outside is escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import html
import math
import shlex
from collections.abc import Sequence

from aimco.phases import PHASES
from aimco.plain_data import PlainView
from aimco.report.view import View, format_value
from aimco.studies.trial import Trial
from aimco.units import text as quantity

STYLE = """
:root{color-scheme:light dark;--ink:#1d2125;--paper:#fdfdfc;--line:#c9ccd0;--shade:#f1f2f3;--mark:#0b62a8}
@media (prefers-color-scheme:dark){:root{--ink:#d9dce0;--paper:#1b1d20;--line:#43474c;--shade:#26292d;--mark:#7db7ea}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:66rem;margin:0 auto;padding:1rem}
h1,h2{line-height:1.2;font-weight:600}h2{margin-top:2.2rem}
figure{margin:1rem 0}figure>div,.wide{overflow-x:auto}figcaption{font-size:.9rem;opacity:.85}
img{display:block;max-width:100%;min-width:min(32rem,180%);height:auto;background:#fff;border-radius:4px}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .7rem;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
td.n,th.n{text-align:right}th{background:var(--shade)}tr.front td{font-weight:600}tr.knee td{color:var(--mark)}
button{font:inherit;background:none;color:inherit;border:0;padding:0;cursor:pointer;text-align:inherit}button.save{text-decoration:underline}
pre,code{font:.82rem/1.4 ui-monospace,monospace}pre{overflow-x:auto;background:var(--shade);padding:.6rem;border-radius:4px}
details{border-bottom:1px solid var(--line);padding:.25rem 0}summary{cursor:pointer}a{color:var(--mark)}
@media print{body{max-width:none;font-size:10pt}figure,tr{break-inside:avoid}img{min-width:0}.wide{overflow:visible}table{font-size:7pt}
th,td{padding:.1rem .25rem;white-space:normal}.save{display:none}}
"""

# Heads of tables sort, and the text of a design saves itself; the page is complete without either.
SCRIPT = """
document.querySelectorAll("table.sorts th").forEach(function(head){
  var words=head.textContent,button=document.createElement("button");button.type="button";button.textContent=words;
  head.textContent="";head.appendChild(button);
  button.addEventListener("click",function(){
    var body=head.closest("table").tBodies[0],k=head.cellIndex,up=head.getAttribute("aria-sort")!=="ascending";
    var rows=Array.from(body.rows),key=function(row){return row.cells[k].dataset.v};
    rows.sort(function(a,b){
      var x=key(a),y=key(b);
      if(x===""||y==="")return (x==="")-(y==="");
      var d=isNaN(x)||isNaN(y)?x.localeCompare(y):x-y;
      return up?d:-d});
    head.parentNode.querySelectorAll("th").forEach(function(h){h.removeAttribute("aria-sort")});
    head.setAttribute("aria-sort",up?"ascending":"descending");
    rows.forEach(function(row){body.appendChild(row)})})});
document.querySelectorAll("pre[data-file]").forEach(function(pre){
  var button=document.createElement("button");button.className="save";button.textContent="save as "+pre.dataset.file;
  pre.before(button);
  button.addEventListener("click",function(){
    var link=document.createElement("a");link.href=URL.createObjectURL(new Blob([pre.textContent]));
    link.download=pre.dataset.file;link.click()})});
function opened(){var d=location.hash&&document.getElementById(location.hash.slice(1));if(d&&d.tagName==="DETAILS")d.open=true}
addEventListener("hashchange",opened);opened();
"""


def text(words: object) -> str:
    """Words from outside, safe in a page."""
    return html.escape(str(words))


def whole(title: str, parts: Sequence[str]) -> str:
    """A page of these parts."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    head += f'<link rel="icon" href="data:,"><title>{text(title)}</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n<script>{SCRIPT}</script></body></html>\n'


def section(title: str, *parts: str) -> str:
    """A heading and what follows; nothing where nothing follows."""
    return f"<h2>{text(title)}</h2>\n" + "\n".join(parts) if any(parts) else ""


def listed(sentences: Sequence[str]) -> str:
    """Sentences one below the other."""
    return "<ul>" + "".join(f"<li>{text(s)}</li>" for s in sentences) + "</ul>" if sentences else ""


def image(title: str, png: bytes, caption: str = "") -> str:
    """A picture inside the page."""
    data = base64.b64encode(png).decode()
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return f'<figure><div><img alt="{text(title)}" src="data:image/png;base64,{data}"></div>{below}</figure>'


def rows_table(rows: Sequence[PlainView]) -> str:
    """A table of any rows: their keys are the columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[(row.get(c), _format(row.get(c))) for c in columns] for row in rows]
    return _table(columns, cells, [""] * len(rows)) if rows else ""


def trials_table(view: View) -> str:
    """All trials, one a row: choices, values, state."""
    measures, members = view.measures, {t.number for t in view.front}
    feasible = any(not t.feasible for t in view.trials)
    columns = ["trial", *view.fields, *(view.label(m) for m in measures), "state", *(["constraints"] if feasible else []), "seeds", "took"]
    cells, classes = [], []
    for t in view.trials:
        row: list[tuple[object, str]] = [(t.number, "")]
        row += [(t.point.get(f), format_value(f, t.point[f]) if f in t.point else "-") for f in view.fields]
        row += [(t.values.get(m), view.value(m, t.values.get(m))) for m in measures]
        row += [(t.state, _state(t))]
        row += [(t.feasible, "met" if t.feasible else "not met")] if feasible else []
        row += [(len(t.seeds), ", ".join(map(str, t.seeds))), (t.wall_s, f"{t.wall_s:.3g} s")]
        cells.append(row)
        knee = "knee " if t is view.knee and len(view.about.objectives) > 1 else ""
        classes.append(f"{knee}front" if t.number in members else "")
    links = [f'<a href="#trial-{t.number}">{t.number}</a>' for t in view.trials]
    return _table(columns, cells, classes, links)


def _table(columns: Sequence[str], cells: Sequence[Sequence[tuple[object, str]]], classes: Sequence[str], links: Sequence[str] = ()) -> str:
    right = [any(_number(row[k][0]) for row in cells) for k in range(len(columns))]
    head = "".join(f"<th{' class=n' if side else ''}>{text(c)}</th>" for c, side in zip(columns, right, strict=True))
    lines = []
    for number, (row, kind) in enumerate(zip(cells, classes, strict=True)):
        parts = []
        for k, (value, words) in enumerate(row):
            content = links[number] if links and k == 0 else text(words)
            parts.append(f'<td{" class=n" if right[k] else ""} data-v="{text(_key(value, words))}">{content}</td>')
        lines.append((f'<tr class="{kind}">' if kind else "<tr>") + "".join(parts) + "</tr>")
    body = "\n".join(lines)
    return f'<div class="wide"><table class="sorts"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def details(view: View, trial: Trial) -> str:
    """All of one point, folded: the command that repeats it, seeds, notes, costs by part, and the design."""
    summary = ", ".join(filter(None, [view.describe(trial), _state(trial) if trial.state != "complete" else ""]))
    head = f"Trial {trial.number}"
    parts = [f"<pre>{text(command(view, trial))}</pre>"]
    parts += [f"<p>{text(trial.state)}: {text(trial.reason)}</p>"] if trial.reason else []
    parts += [f"<p>does not meet the constraints {text(', '.join(view.about.constraints))}</p>"] if not trial.feasible else []
    parts += [f"<p>seeds {text(', '.join(map(str, trial.seeds)))}</p>"]
    parts += [listed(list(map(str, trial.result.get("notes") or ())))]
    parts += [_parts(trial)]
    parts += [f'<pre data-file="{text(file_of(view, trial).rpartition("/")[2])}">{text(trial.design)}</pre>'] if trial.design else []
    return (
        f'<details id="trial-{trial.number}"><summary>{text(f"{head}: {summary}" if summary else head)}</summary>{"".join(parts)}</details>'
    )


def _state(trial: Trial) -> str:
    return f"pruned after {trial.epochs} epochs" if trial.state == "pruned" else trial.state


def file_of(view: View, trial: Trial) -> str:
    """Where the design of a trial lies, from the folder of the page."""
    return f"designs/trial-{trial.number}.toml"


def command(view: View, trial: Trial) -> str:
    """The commands that repeat one point, one a seed."""
    options = f" {view.about.options}" if view.about.options else ""
    return "\n".join(f"aimco run {file_of(view, trial)} --task {shlex.quote(view.about.task)} --seed {s}{options}" for s in trial.seeds)


def _parts(trial: Trial) -> str:
    """Energy by part, by phase and of one sample, where it is known."""
    energy = trial.result.get("energy_J") or {}
    kinds: dict[str, list[str]] = {"energy": [], "by phase": [], "one sample": []}
    for name, joules in energy.items():
        if isinstance(joules, int | float):
            kind = "by phase" if name in PHASES else "one sample" if name.endswith("_sample") else "energy"
            kinds[kind].append(f"{name.removesuffix('_sample').replace('_', ' ')} {quantity(float(joules), 'J')}")
    return "".join(f"<p>{kind}: {text(', '.join(parts))}</p>" for kind, parts in kinds.items() if parts)


def _format(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(value: object, words: str) -> str:
    """What a column sorts by: nothing where there is no value, which comes last."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"
    return repr(value) if _number(value) else words
