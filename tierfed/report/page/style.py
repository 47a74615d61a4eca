"""Style: what a page looks like: light or dark as the reader's system is, narrow or wide, and on paper.

Everything is below `.tf`, so that a report in a notebook leaves the notebook's own style alone; there the notebook's
theme decides (JupyterLab's attribute, VS Code's class) rather than the system's.
"""

from __future__ import annotations

from tierfed.report.page.svg import COLOURS


def _variables(which: int) -> str:
    return "".join(f"--tf-{name}:{pair[which]};" for name, pair in COLOURS.items())


_LIGHT, _DARK = _variables(0), _variables(1)
_DARK_THEMES = "[data-jp-theme-light=false] .tf,.vscode-dark .tf,[data-theme=dark] .tf"
_LIGHT_THEMES = "[data-jp-theme-light=true] .tf,.vscode-light .tf,[data-theme=light] .tf"

CSS = f"""
.tf{{{_LIGHT}color-scheme:light;}}
@media (prefers-color-scheme:dark){{.tf{{{_DARK}color-scheme:dark;}}}}
{_LIGHT_THEMES}{{{_LIGHT}color-scheme:light;}}
{_DARK_THEMES}{{{_DARK}color-scheme:dark;}}
@media print{{.tf{{{_LIGHT}color-scheme:light;}}}}
.tf{{background:var(--tf-surface);color:var(--tf-ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Helvetica,Arial,
sans-serif;padding:1.2em 16px 3em;max-width:1180px;margin:0 auto;box-sizing:border-box;overflow-wrap:break-word;}}
.tf *{{box-sizing:border-box;}}
.tf h1{{font-size:1.55em;line-height:1.25;margin:.2em 0;font-weight:650;}}
.tf h2{{font-size:1.15em;margin:2.2em 0 .6em;padding-top:.7em;border-top:1px solid var(--tf-grid);font-weight:650;}}
.tf p{{margin:.4em 0;max-width:75ch;}}
.tf p.tf-muted{{font-size:.9em;}}
.tf .tf-muted,.tf figcaption span{{color:var(--tf-muted);}}
.tf .tf-state{{font-weight:650;}}
.tf dl{{display:grid;grid-template-columns:repeat(auto-fill,minmax(136px,1fr));gap:10px;margin:1.2em 0;}}
.tf dl>div{{border:1px solid var(--tf-grid);border-radius:6px;padding:8px 12px;background:var(--tf-panel);min-width:0;}}
.tf dt{{color:var(--tf-muted);font-size:.82em;}}
.tf dd{{margin:0;font-size:1.3em;font-weight:600;line-height:1.3;}}
.tf dd small{{display:block;font-size:.62em;font-weight:400;color:var(--tf-muted);line-height:1.35;}}
.tf .tf-figures{{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(340px,100%),1fr));gap:18px 22px;}}
.tf figure{{margin:0;min-width:0;max-width:460px;}}
.tf figure.tf-wide{{max-width:880px;margin:0 0 1.2em;}}
.tf figure svg{{display:block;width:100%;height:auto;}}
.tf figcaption{{font-size:.86em;margin:0 0 .3em;line-height:1.4;}}
.tf figcaption b{{display:block;font-weight:600;}}
.tf figcaption b::first-letter{{text-transform:uppercase;}}
.tf figcaption span{{display:block;}}
.tf .tf-scroll{{overflow-x:auto;}}
.tf .tf-wide .tf-scroll svg{{min-width:600px;}}
@media (max-width:640px){{.tf .tf-wide .tf-scroll::before{{content:"scroll for the rest →";display:block;
position:sticky;left:0;font-size:.78em;color:var(--tf-muted);}}}}
.tf table{{border-collapse:collapse;font-size:.88em;margin:.6em 0;font-variant-numeric:tabular-nums;}}
.tf th,.tf td{{text-align:left;padding:4px 14px 4px 0;border-bottom:1px solid var(--tf-grid);vertical-align:top;
background:none;color:inherit;max-width:34em;}}
.tf th{{color:var(--tf-muted);font-weight:500;white-space:nowrap;vertical-align:bottom;}}
.tf th.n,.tf td.n{{text-align:right;white-space:nowrap;}}
.tf pre{{background:var(--tf-panel);color:inherit;border:1px solid var(--tf-grid);border-radius:6px;padding:10px 12px;
margin:.5em 0;font:12.5px/1.45 ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace;overflow:auto;
max-height:34em;white-space:pre;}}
.tf pre.tf-command{{white-space:pre-wrap;overflow-wrap:anywhere;}}
.tf details{{margin:.6em 0;}}
.tf summary{{cursor:pointer;color:var(--tf-muted);}}
.tf nav{{font-size:.9em;margin:.8em 0;}}
.tf nav a{{color:var(--tf-s0);margin-right:1.1em;display:inline-block;}}
.tf .tf-bad{{border-left:4px solid var(--tf-s1);padding:.1em 0 .1em 12px;margin:1em 0;}}
@media print{{.tf h2{{break-after:avoid;}}.tf figure,.tf table{{break-inside:avoid;}}.tf nav{{display:none;}}
.tf pre{{max-height:none;white-space:pre-wrap;}}}}
"""
