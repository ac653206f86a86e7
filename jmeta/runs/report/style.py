"""How a page looks: one column, light or dark as the reader has it, on paper too."""

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--card:#f5f7fa;--ink:#1c2530;--faint:#5a6878;--line:#d8dfe7;--main:#1f4e79;
--told:#fff6dc}
@media (prefers-color-scheme:dark){:root{--paper:#14191f;--card:#1d242c;--ink:#e6ebf0;--faint:#9fadbb;--line:#35404c;
--main:#8ec1ef;--told:#3a3216}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
main,footer{max-width:960px;margin:0 auto;padding:0 20px}
main{padding-top:40px}
footer{color:var(--faint);font-size:.85rem;padding-bottom:32px}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .4em;overflow-wrap:anywhere}
h2{font-size:1.3rem;line-height:1.3;margin:2.4em 0 .7em;padding-bottom:.3em;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:0 0 .4em}
section>h3,section>div>h3{margin-top:1.4em}
p{margin:.6em 0;max-width:70ch}
.lead{font-size:1.1rem}
.headline{display:flex;flex-wrap:wrap;gap:12px;margin:1.4em 0}
.headline div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 18px;flex:1 1 200px}
.headline b{display:block;font-size:clamp(1.2rem,4vw,1.75rem);white-space:nowrap;line-height:1.25;
color:var(--main);font-variant-numeric:tabular-nums}
.headline span{color:var(--faint);font-size:.9rem}
.note{background:var(--told);border-radius:8px;padding:.6em .9em;max-width:none;overflow-wrap:anywhere}
figure{margin:1.2em 0}
figure img{display:block;max-width:100%;height:auto;background:#fff;border:1px solid var(--line);border-radius:10px;
padding:12px}
figcaption{color:var(--faint);font-size:.9rem;margin-top:.5em;max-width:70ch}
.wide{overflow-x:auto;margin:1.1em 0}
table{min-width:min(100%,24rem);border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--faint);font-size:.9rem;padding-bottom:.4em}
th,td{text-align:left;padding:.35em .9em .35em 0;border-bottom:1px solid var(--line);vertical-align:top}
thead th{color:var(--faint);font-weight:600}
tbody th{font-weight:500;overflow-wrap:anywhere}
.numbers th+td,.numbers td+td,.numbers thead th+th{text-align:right;padding-left:.9em;white-space:nowrap}
.groups{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:12px}
.groups.single{grid-template-columns:1fr}
.single dl{columns:2 290px;column-gap:28px}
.groups>div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px;min-width:0}
dl{margin:0;font-size:.92rem}
code span{display:inline-block;max-width:100%}
dl div{break-inside:avoid;display:flex;flex-wrap:wrap;gap:0 .8em;padding:.16em 0}
dt{color:var(--faint);flex:0 0 auto;min-width:9.5em}
dd{margin:0;flex:1 1 5em;overflow-wrap:anywhere;min-width:0}
mark{background:none;color:var(--main);font-weight:650}
small{color:var(--faint)}
pre{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px;white-space:pre-wrap;
overflow-wrap:anywhere;font-size:.88rem}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
@media (max-width:520px){main{padding-top:22px}h1{font-size:1.5rem}}
@media print{:root{--paper:#fff;--card:#fff;--ink:#000;--faint:#444;--line:#bbb;--main:#1f4e79;--told:#fff}
body{font-size:11pt}main,footer{max-width:none;padding:0}.wide{overflow:visible}
figure,.groups>div,tr,.headline{break-inside:avoid}h2,h3{break-after:avoid}}
""".strip()
