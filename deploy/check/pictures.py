"""Draws the generated dashboards from what a Prometheus answers, and a trace from what a Jaeger answers, as PNG by chromium.

The panels, their places, queries and names are those of the dashboards; the drawing is ours, not Grafana's or Jaeger's.
"""
import html
import json
import math
import pathlib
import re
import subprocess
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLOURS = ("#1f6fb4", "#d9730d", "#2a8c4a", "#b8264a", "#6f4bb2", "#8a6d3b", "#c2488f", "#5a6570", "#8f9a1c", "#1594a8")
STYLE = """
body {margin: 0; background: #f2f4f6; font: 12px sans-serif; color: #22292f}
h1 {font-size: 17px; margin: 0; padding: 10px 12px 4px} p {margin: 0; padding: 0 12px 6px; color: #5a6570}
.panel {position: absolute; background: #fff; border: 1px solid #d8dde2; border-radius: 3px; overflow: hidden}
.panel b {display: block; padding: 5px 8px 0} .big {font-size: 15px; padding: 4px 10px; display: flex; justify-content: space-between}
.names {padding: 0 8px; font-size: 10px; line-height: 13px; color: #3a444d} .names span {white-space: nowrap} .few {font-size: 11px; padding: 2px 10px}
.names i {display: inline-block; width: 9px; height: 3px; margin: 0 3px 2px 8px}
text {font: 10px sans-serif; fill: #5a6570}
"""


def told(value, unit):
    """A value as people read it."""
    if value is None or math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        for least, factor, name in ((3600, 3600, "h"), (60, 60, "min"), (1, 1, "s"), (0, 1e-3, "ms")):
            if abs(value) >= least:
                return f"{value / factor:.3g} {name}"
    for least, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= least:
            value, end = value / (1e3 if name == "k" else least), name
            break
    else:
        end = ""
    more = {"bytes": "B", "Bps": "B/s", "reqps": "/s", "ops": "/s"}.get(unit, "")
    number = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{number} {end}{more}".strip()


def ask(prometheus, path, **parameters):
    with urllib.request.urlopen(f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
        return json.load(answer)["data"]["result"]


def filled(expression, interval="15s"):
    return expression.replace("$__rate_interval", interval).replace("$service", ".+")


def named(target, labels):
    text = re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), target.get("legendFormat") or json.dumps(labels))
    return re.sub(r"/?probity\.[\w.]+\.(\w+)", r"\1", text)


def curves(series, begun, ended, width, height, unit):
    left, bottom = 46, 14
    most = max((value for _, points in series for _, value in points), default=0) or 1
    x = lambda at: left + (at - begun) / (ended - begun) * (width - left - 8)
    y = lambda value: 4 + (1 - value / (most * 1.05)) * (height - bottom - 8)
    parts = []
    for share in (0, 0.5, 1):
        parts.append(f'<line x1="{left}" x2="{width - 8}" y1="{y(most * share):.1f}" y2="{y(most * share):.1f}" stroke="#e6eaed"/>'
                     f'<text x="{left - 4}" y="{y(most * share) + 3:.1f}" text-anchor="end">{told(most * share, unit)}</text>')
    for share in (0, 0.5, 1):
        at = begun + (ended - begun) * share
        anchor = ("start", "middle", "end")[int(share * 2)]
        parts.append(f'<text x="{x(at):.0f}" y="{height - 2}" text-anchor="{anchor}">{time.strftime("%H:%M:%S", time.gmtime(at))}</text>')
    for number, (_, points) in enumerate(series):
        colour, run, last = COLOURS[number % len(COLOURS)], [], None
        for at, value in points:
            if last is not None and at - last > (ended - begun) / 40:
                run.append("M")
            run.append(f"{'M' if not run or run[-1] == 'M' else 'L'}{x(at):.1f} {y(value):.1f}")
            last = at
        path = " ".join(step for step in run if step != "M")
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.4"/>')
    return f'<svg width="{width}" height="{height}">{"".join(parts)}</svg>'


def panel(prometheus, here, begun, ended, width, height):
    unit = here["fieldConfig"]["defaults"].get("unit", "short")
    series = []
    for target in here["targets"]:
        if here["type"] == "stat":
            found = ask(prometheus, "query", query=filled(target["expr"]), time=ended)
            series += [(named(target, one["metric"]), [(ended, float(one["value"][1]))]) for one in found]
        else:
            found = ask(prometheus, "query_range", query=filled(target["expr"]), start=begun, end=ended, step=1)
            for one in found:
                points = [(at, float(value)) for at, value in one["values"] if value not in ("NaN", "+Inf", "-Inf")]
                if points:
                    series.append((named(target, one["metric"]), points))
    series.sort(key=lambda one: -one[1][-1][1])
    names = [f'<span><i style="background:{COLOURS[i % len(COLOURS)]}"></i>{html.escape(name)} {told(points[-1][1], unit)}</span> '
             for i, (name, points) in enumerate(series)]
    if here["type"] == "stat":
        size = "big" if len(series) < 6 else "big few"
        inside = "".join(f'<div class="{size}"><span>{html.escape(name)}</span><span>{told(points[-1][1], unit)}</span></div>' for name, points in series)
    else:
        shown = names[:8] + ([f" and {len(names) - 8} more"] if len(names) > 8 else [])
        lines = 1 + sum(len(re.sub("<[^>]*>", "", name)) + 5 for name in shown) // 66
        inside = curves(series, begun, ended, width, height - 30 - 13 * lines, unit) + f'<div class="names">{"".join(shown)}</div>'
    return f"<b>{html.escape(here['title'])}</b>{inside}"


def shoot(name, text, width, height, folder):
    page = folder / f"{name}.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{text}")
    subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},{height}",
         f"--screenshot={folder / name}.png", page.as_uri()], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    page.unlink()
    print(f"   {folder / name}.png: {(folder / f'{name}.png').stat().st_size // 1000} KB")


def dashboards(prometheus, begun, ended, folder):
    """A picture of each dashboard over a span of time."""
    folder = pathlib.Path(folder)
    for file in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        board = json.loads(file.read_text())
        text = [f"<h1>{html.escape(board['title'])}</h1><p>{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(begun))} to {time.strftime('%H:%M:%S', time.gmtime(ended))} UTC</p>"]
        bottom = 0
        for here in board["panels"]:
            at = here["gridPos"]
            x, y, w, h = at["x"] * 58 + 8, at["y"] * 24 + 60, at["w"] * 58 - 8, at["h"] * 24 - 8
            bottom = max(bottom, y + h)
            text.append(f'<div class="panel" style="left:{x}px;top:{y}px;width:{w}px;height:{h}px">{panel(prometheus, here, begun, ended, w, h)}</div>')
        shoot(file.stem, "".join(text), 24 * 58 + 16, bottom + 10, folder)


def trace(found, name, folder):
    """A picture of a trace: a line a span, below the one that caused it."""
    service = {key: process["serviceName"] for key, process in found["processes"].items()}
    spans = {span["spanID"]: span for span in found["spans"]}
    below, first = {}, []
    for span in sorted(spans.values(), key=lambda span: span["startTime"]):
        above = next((r["spanID"] for r in span["references"] if r["refType"] == "CHILD_OF" and r["spanID"] in spans), None)
        (below.setdefault(above, []) if above else first).append(span)
    begun = min(span["startTime"] for span in spans.values())
    lasted = max(span["startTime"] + span["duration"] for span in spans.values()) - begun
    colours = {one: COLOURS[i % len(COLOURS)] for i, one in enumerate(sorted(set(service.values())))}
    rows = []

    def put(span, depth):
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        rows.append((span, depth, tags.get("error") is True or tags.get("otel.status_code") == "ERROR", tags.get("span.kind", ""),
                     any(r["refType"] == "FOLLOWS_FROM" for r in span["references"])))
        for one in below.get(span["spanID"], []):
            put(one, depth + 1)

    for span in first:
        put(span, 0)
    x = lambda at: 560 + (at - begun) / lasted * 740
    parts = [f'<line x1="{x(begun + lasted * s):.0f}" x2="{x(begun + lasted * s):.0f}" y1="0" y2="{len(rows) * 20 + 20}" stroke="#dde2e6"/>'
             f'<text x="{x(begun + lasted * s) + 3:.0f}" y="10">{told(lasted * s / 1e6, "s")}</text>' for s in (0, 0.25, 0.5, 0.75)]
    for number, (span, depth, failed, kind, follows) in enumerate(rows):
        y, owner = number * 20 + 18, service[span["processID"]]
        label = f"{'calls ' if kind == 'client' else ''}{span['operationName'].rsplit('.', 1)[-1]}{' · after the attempt before' if follows else ''}"
        parts.append(
            f'<rect x="{8 + depth * 14}" y="{y + 3}" width="3" height="14" fill="{colours[owner]}"/>'
            f'<text x="{15 + depth * 14}" y="{y + 14}" style="fill:{"#b8264a" if failed else "#22292f"}"><tspan font-weight="bold">{html.escape(owner)}</tspan> {html.escape(label)}{" · failed" if failed else ""}</text>'
            f'<rect x="{x(span["startTime"]):.1f}" y="{y + 4}" width="{max(2, span["duration"] / lasted * 740):.1f}" height="11" fill="{colours[owner]}"{" stroke=&quot;#b8264a&quot;" if failed else ""}/>'
            f'<text x="{min(x(span["startTime"] + span["duration"]) + 4, 1305):.1f}" y="{y + 13}">{told(span["duration"] / 1e6, "s")}</text>')
    height = len(rows) * 20 + 30
    text = (f"<h1>Trace {found['traceID']}</h1><p>{len(rows)} spans of {len(colours)} services in {told(lasted / 1e6, 's')}</p>"
            f'<svg width="1380" height="{height}" style="background:#fff">{"".join(parts).replace("&quot;", chr(34))}</svg>')
    shoot(name, text, 1380, height + 60, pathlib.Path(folder))
