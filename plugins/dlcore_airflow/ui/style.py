"""The style of the pipeline's pages: in the theme chosen in Airflow, and down to the width of a phone."""

from __future__ import annotations

_DARK = """color-scheme: dark; --paper: #11151b; --card: #191f28; --ink: #e5e9ef; --quiet: #97a3b4; --line: #2b3441; --soft: #222a35;
  --good: #4cc38a; --bad: #f2766b; --doubt: #e2a33d; --bar: #6ea4f5"""

STYLE = f"""
:root {{ color-scheme: light; --paper: #f6f7f9; --card: #fff; --ink: #1d2430; --quiet: #5d6878; --line: #dfe3e9; --soft: #eef1f5;
  --good: #1a7f4b; --bad: #c2342b; --doubt: #a15c00; --bar: #2563c9 }}
:root[data-theme=dark] {{ {_DARK} }}
@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {_DARK} }} }}
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 1400px; background: var(--paper);
  color: var(--ink) }}
h1 {{ font-size: 1.4rem; margin: 0 0 1rem }} h2 {{ font-size: 1.05rem; margin: 0 }} h3 {{ font-size: .95rem; margin: 0; display: inline }}
p {{ max-width: 60rem; margin: .3rem 0 }} .quiet {{ color: var(--quiet) }}
section {{ background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem; margin: 0 0 1rem;
  overflow-x: auto }}
form {{ display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: end; margin: 0 0 1rem }}
label {{ color: var(--quiet); font-size: .85rem }} select, input, button {{ font: inherit; display: block; color: inherit;
  background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .2rem .5rem; box-sizing: border-box }}
select, input:not([type=checkbox]), button {{ height: 2rem }}
details {{ margin-top: .7rem }} summary {{ cursor: pointer }} code {{ background: var(--soft); padding: 0 .3em; border-radius: 4px }}
table {{ border-collapse: collapse; width: 100%; margin-top: .5rem }}
th, td {{ text-align: left; padding: .35rem .8rem .35rem 0; vertical-align: top; border-bottom: 1px solid var(--line) }}
tr:last-child td {{ border-bottom: 0 }} th {{ font-weight: 550; font-size: .85rem; color: var(--quiet) }}
td.n, th.n {{ text-align: right; padding-right: 1.4rem; font-variant-numeric: tabular-nums }}
.stage {{ width: 11rem }} .result {{ width: 8rem }} .n {{ width: 4rem }} .contract {{ width: 10rem }}
.published, .already_published, .held {{ color: var(--good) }}
.broken_contract, .failed, .refused, .broken {{ color: var(--bad); font-weight: 600 }} .warning, .mark {{ color: var(--doubt) }}
td.why {{ padding-top: 0; overflow-wrap: anywhere; font-weight: 400 }} tr.explained td {{ border-bottom: 0 }}
.bar {{ display: inline-block; height: .6em; min-width: 2px; background: var(--bar); border-radius: 2px; margin-right: .4em }}
.reason {{ white-space: nowrap; margin-right: .9em }} pre {{ background: var(--soft); padding: .8rem; overflow: auto; border-radius: 6px }}
a {{ color: inherit; text-decoration-color: var(--quiet); text-underline-offset: 2px }}
h2 .side {{ font-weight: 400; font-size: .85rem; margin-left: .6rem }} .run {{ margin-top: .5rem }} .run > input {{ display: inline }}
input[type=checkbox] {{ display: inline; vertical-align: -1px; accent-color: var(--bar) }}
nav {{ display: flex; flex-wrap: wrap; gap: .4rem 1rem; justify-content: space-between; align-items: center; margin: 0 0 1rem }}
nav form {{ margin: 0 }} button, a.button {{ cursor: pointer }} button:hover, a.button:hover {{ border-color: var(--bar) }}
a.button {{ border: 1px solid var(--line); border-radius: 6px; padding: .1rem .5rem; text-decoration: none; white-space: nowrap }}
button.main {{ background: var(--bar); border-color: var(--bar); color: var(--card) }}
#now:empty {{ display: none }} .now {{ margin-top: .5rem }} progress {{ accent-color: var(--bar); width: 12rem; vertical-align: middle }}
.trends {{ display: flex; flex-wrap: wrap; gap: .6rem 1.5rem; margin-top: .5rem }} figure {{ margin: 0; flex: 1 1 11rem; max-width: 20rem }}
figcaption {{ font-size: .85rem; margin-bottom: .3rem }}
svg {{ display: block; width: 100%; height: 56px; border-bottom: 1px solid var(--line) }}
rect {{ fill: var(--bar) }} a:hover rect {{ fill: var(--good) }} section:target {{ border-color: var(--bar) }}
.runs th a {{ text-decoration: none; color: inherit; white-space: nowrap }} .runs td.name {{ overflow-wrap: anywhere }}
.compared td, .compared th {{ width: 22% }} .compared tr:not(.differs) {{ color: var(--quiet) }}
@media (max-width: 700px) {{
  body {{ padding: .8rem }} section {{ padding: .8rem }} tr:first-child {{ display: none }} table, tbody, tr, td {{ display: block }}
  tr {{ border-bottom: 1px solid var(--line); padding: .4rem 0 }} td, td.n {{ border: 0; padding: .1rem 0; text-align: left; width: auto }}
  td.n, .runs td, .compared td {{ display: inline-block; margin-right: 1rem }} .compared td {{ width: 21%; margin: 0 2% 0 0 }}
  td[title]::before {{ content: attr(title) " "; color: var(--quiet) }} td:empty {{ display: none }} tr.explained {{ border-bottom: 0 }}
}}
"""
