"""A bar chart as SVG: one bar for each contender, the fastest first, and what went wrong in words."""

from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, LINE, TOP = 760, 200, 250, 24, 44
STYLE = """<style>text { font: 13px system-ui, sans-serif; fill: #222 } .title { font-weight: 600; font-size: 15px }
.mute { fill: #777 } .bad { fill: #b3261e } .ours { fill: #1b6ca8 } .theirs { fill: #b9c4cc } .whisker { stroke: #222 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .mute { fill: #999 } .whisker { stroke: #ddd } }</style>"""


def bars(title, rows):
    """rows: [(name, ours, [seconds of each round], note)]; without seconds the note says why. Returns the SVG's text."""
    good = sorted((r for r in rows if r[2]), key=lambda r: sorted(r[2])[len(r[2]) // 2])
    rows = good + [r for r in rows if not r[2]]
    most = max([max(r[2]) for r in good] or [1])
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + LINE * len(rows) + 12
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">' % (WIDTH, height, WIDTH, height),
           STYLE, '<text class="title" x="12" y="24">%s</text>' % escape(title)]
    for i, (name, ours, seconds, note) in enumerate(rows):
        y = TOP + LINE * i
        out.append('<text x="%d" y="%d" text-anchor="end">%s</text>' % (LEFT - 8, y + 14, escape(name)))
        if not seconds:
            out.append('<text class="bad" x="%d" y="%d">%s</text>' % (LEFT, y + 14, escape(note[:60])))
            continue
        seconds = sorted(seconds)
        median = seconds[len(seconds) // 2]
        out.append('<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>' % (
            "ours" if ours else "theirs", LEFT, y, median * scale, LINE - 7))
        out.append('<line class="whisker" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>' % (
            LEFT + seconds[0] * scale, LEFT + seconds[-1] * scale, y + 8.5, y + 8.5))
        out.append('<text x="%.1f" y="%d">%.2f s <tspan class="mute">%s</tspan></text>' % (
            LEFT + seconds[-1] * scale + 8, y + 14, median, escape(note)))
    return "\n".join(out + ["</svg>"]) + "\n"
