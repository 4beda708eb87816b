#include <stddef.h>

#include "cli/report.h"

/* A list, for a compiler need not take a literal of this length. */
const char *const ph_report_style[] = {
    ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b2430;--soft:#5d6b7e;"
    "--line:#e3e7ed;--source:#3b78d8;--target:#e0803a;--files:#8b6bd6;--mover:#2a9d83;"
    "--throttled:#c9a227;--bad:#cf3f4b;--good:#2a8f5b;--landed:#3b78d8}\n",
    "@media(prefers-color-scheme:dark){:root{--bg:#10141a;--card:#181e27;--ink:#e7ebf1;"
    "--soft:#98a5b6;--line:#2a3340;--source:#6ea3f2;--target:#f0995a;--files:#ab8ff0;"
    "--mover:#4cc2a6;--throttled:#dfbd4e;--bad:#f0707a;--good:#5cc48c;--landed:#6ea3f2}}\n",
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}\n"
    "main{max-width:1200px;margin:0 auto;padding:28px 20px 48px}\n"
    "h1{font-size:26px;line-height:1.25;margin:0;overflow-wrap:anywhere}\n"
    "h2{font-size:17px;margin:34px 0 10px}\n"
    "header p{margin:6px 0 0;color:var(--soft);overflow-wrap:anywhere}\n",
    ".pill{display:inline-block;font-size:13px;font-weight:600;padding:1px 10px;margin-left:10px;"
    "border-radius:99px;border:1px solid currentColor;vertical-align:4px;white-space:nowrap}\n"
    ".good{color:var(--good)}.bad{color:var(--bad)}.busy{color:var(--source)}\n",
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;"
    "margin:22px 0 4px}\n"
    ".tile,figure,.card{background:var(--card);border:1px solid var(--line);border-radius:10px}\n"
    ".tile{padding:11px 15px}.tile b{display:block;font-size:21px;font-weight:650;"
    "font-variant-numeric:tabular-nums;white-space:nowrap}.tile span{color:var(--soft);"
    "font-size:13px}\n",
    ".say{margin:16px 0 0;padding:12px 16px;border-left:4px solid var(--target);"
    "background:var(--card);border-radius:0 10px 10px 0;overflow-wrap:anywhere}\n"
    ".say.bad{border-color:var(--bad);color:inherit}\n"
    "figure{margin:16px 0 0;padding:14px 16px 10px}\n"
    "figcaption{font-weight:600;margin-bottom:10px;display:flex;flex-wrap:wrap;gap:2px 12px;"
    "justify-content:space-between}figcaption span{font-weight:400;color:var(--soft);"
    "font-size:13px}\n",
    ".plot{display:flex;gap:10px}.plot svg{flex:1;min-width:0;height:210px;display:block;"
    "background:var(--bg);border-radius:4px}.plot svg.low{height:130px}\n"
    ".y{display:flex;flex-direction:column;justify-content:space-between;text-align:right;"
    "width:76px;flex:none;font-size:12px;color:var(--soft);font-variant-numeric:tabular-nums}\n"
    ".x{display:flex;justify-content:space-between;margin:5px 0 0 86px;font-size:12px;"
    "color:var(--soft);font-variant-numeric:tabular-nums}\n",
    ".keys{display:flex;flex-wrap:wrap;gap:2px 16px;margin:8px 0 0 86px;font-size:13px;"
    "color:var(--soft)}.keys span{overflow-wrap:anywhere}.keys i{display:inline-block;width:11px;"
    "height:11px;border-radius:3px;margin-right:6px;vertical-align:-1px}\n"
    "path.landed{fill:var(--landed);fill-opacity:.8}path.files{fill:var(--files);"
    "fill-opacity:.55}i.landed{background:var(--landed)}\n"
    ".grid{stroke:var(--line);fill:none;vector-effect:non-scaling-stroke}\n"
    ".source{fill:var(--source);background:var(--source)}"
    ".target{fill:var(--target);background:var(--target)}"
    ".files{fill:var(--files);background:var(--files)}"
    ".mover{fill:var(--mover);background:var(--mover)}"
    ".throttled{fill:var(--throttled);background:var(--throttled)}\n",
    "rect.held{fill:var(--throttled);fill-opacity:.28}i.held{background:var(--throttled);"
    "opacity:.6}rect.paused{fill:var(--bad);fill-opacity:.25}i.paused{background:var(--bad);"
    "opacity:.6}rect.spilling{fill:var(--files);fill-opacity:.16}i.spilling{"
    "background:var(--files);opacity:.45}rect.gap{fill:var(--card)}\n",
    "path.curve{fill:none;stroke:var(--source);stroke-width:2;vector-effect:non-scaling-stroke}"
    "path.bar{fill:none;stroke:var(--soft);stroke-width:1.5;vector-effect:non-scaling-stroke}"
    ".was{fill:var(--soft);background:var(--soft)}.best{fill:var(--good);background:var(--good)}\n",
    ".lane{display:flex;align-items:center;gap:10px;margin:2px 0}.lane b{width:76px;flex:none;"
    "text-align:right;font-size:12px;font-weight:400;color:var(--soft);"
    "font-variant-numeric:tabular-nums}.lane svg{flex:1;min-width:0;height:15px;display:block;"
    "background:var(--bg);border-radius:3px}\n",
    ".t0{fill:#3b78d8;background:#3b78d8}.t1{fill:#e0803a;background:#e0803a}"
    ".t2{fill:#2a9d83;background:#2a9d83}.t3{fill:#8b6bd6;background:#8b6bd6}"
    ".t4{fill:#c9a227;background:#c9a227}.t5{fill:#c2528b;background:#c2528b}"
    ".t6{fill:#4aa3c7;background:#4aa3c7}.t7{fill:#7d8c3a;background:#7d8c3a}\n"
    ".via{fill-opacity:.45}.open{fill:none;stroke:var(--bad);stroke-width:1.5;"
    "vector-effect:non-scaling-stroke}\n",
    ".scroll{overflow-x:auto;padding:4px 0}table{border-collapse:collapse;width:100%;"
    "font-size:14px}th,td{padding:6px 14px;text-align:left;vertical-align:top}"
    "th{color:var(--soft);font-weight:500;font-size:13px;white-space:nowrap}"
    "tbody tr{border-top:1px solid var(--line)}"
    "td.name{min-width:150px;overflow-wrap:anywhere}.words{min-width:220px;overflow-wrap:anywhere}."
    "key{white-space:nowrap;width:1%;color:var(--"
    "soft)}"
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:0 20px}"
    ".n{text-align:right;white-space:nowrap;"
    "font-variant-numeric:tabular-nums;overflow-wrap:normal}"
    "tfoot td{border-top:2px solid var(--line);font-weight:600}\n",
    ".note,footer{color:var(--soft);font-size:13px}details{margin-top:12px}summary{cursor:pointer;"
    "color:var(--soft)}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:12.5px;"
    "padding:10px 14px;margin:8px 0 0}.soft{color:var(--soft)}\n",
    "@media(max-width:640px){main{padding:18px 12px 36px}h1{font-size:21px}.tiles{"
    "grid-template-columns:1fr 1fr;gap:8px}.tile{padding:9px 11px}.tile b{font-size:18px}"
    "figure{padding:12px 10px 8px}.y,.lane b{width:58px;font-size:11px}.x,.keys{margin-left:66px}"
    ".plot,.lane{gap:8px}.plot svg{height:150px}.x span:nth-child(even){display:none}"
    "th,td{padding:5px 9px}}\n",
    "@media print{body{background:#fff}figure,.tile,.card{break-inside:avoid}}\n",
    NULL,
};
