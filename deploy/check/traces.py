#!/usr/bin/env python3
"""Follows a case through a real Jaeger that runs with deploy/tracing/jaeger.yaml: one trace from the REST call to the last
step, through a crash.

    traces.py BINARIES [FOLDER]

The platform runs as seven processes on PostgreSQL. While the compliance validator is away the orchestrator is killed in the
middle of a case and started again; the case has to end, and its spans from before and after, of all services that took part,
have to be in the trace that its caller began, with attempts linked. Of quick calls without a failure about a tenth is kept,
while all are counted. `probity trace slow` has to name where the failures began. Needs jaeger, prometheus, helm, openssl and
PostgreSQL. With PICTURES set to a folder the trace is drawn there (needs chromium).
"""
import json
import os
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request

import pictures
import processes

TRACE = "0af7651916cd43dd8448eb211c80319c"
QUICK_CALLS = 300
TEXT = b"The contract went to the brother-in-law of the director, who took an envelope of 5,000 for it."


def start_jaeger(folder):
    """Jaeger, and a Prometheus that it keeps the metrics of spans in."""
    ports = {}
    port = lambda old: ports.setdefault(old, processes.free_port())
    text = (processes.ROOT / "deploy/tracing/jaeger.yaml").read_text()
    config = folder / "jaeger.yaml"
    config.write_text(re.sub(r"0\.0\.0\.0:(\d+)", lambda found: f"127.0.0.1:{port(found[1])}", text))
    prometheus = processes.free_port()
    scrape = folder / "prometheus.yml"
    scrape.write_text(f"global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: spans, static_configs: [{{targets: ['127.0.0.1:{port('8889')}']}}]}}]\n")
    started = []
    for name, command in (
        ("prometheus", ["prometheus", f"--config.file={scrape}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{prometheus}"]),
        ("jaeger", ["jaeger", "--config", str(config)]),
    ):
        log = open(folder / f"{name}.log", "wb")
        environment = os.environ | {"PROMETHEUS_URL": f"http://127.0.0.1:{prometheus}"}
        started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
    query, otlp = f"http://127.0.0.1:{ports['16686']}", f"http://127.0.0.1:{ports['4317']}"
    wait("Jaeger answers", 60, lambda: fetch(f"{query}/api/services") is not None)
    return started, query, otlp, f"http://127.0.0.1:{prometheus}"


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return None


def wait(what, within, condition):
    until = time.monotonic() + within
    while not (result := condition()):
        if time.monotonic() > until:
            raise SystemExit(f"{what}: not within {within} s")
        time.sleep(0.5)
    return result


class Rest:
    def __init__(self, platform):
        self.base, self.headers = platform.gateway, {"authorization": f"Bearer {platform.token.read_text().strip()}"}

    def __call__(self, method, path, data=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.base + path, data=data, method=method, headers=self.headers | headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def crash(platform, rest):
    """A case whose orchestrator is killed while the compliance validator is away; its name once it is settled."""
    service = {s["name"]: s for s in platform.services}
    stop = lambda name: (platform.processes[name].kill(), platform.processes[name].wait())
    document = rest("POST", "/v1/documents?media_type=text/plain&filename=report.txt", TEXT, content_type="text/plain")
    stop("compliance-validator")
    body = json.dumps({"kind": "CASE_KIND_REPORT", "documents": [document["name"]], "subject": "A trial"}).encode()
    case = rest("POST", "/v1/cases", body, content_type="application/json", idempotency_key="trial-1",
                traceparent=f"00-{TRACE}-b7ad6b7169203331-01")["name"]
    wait("the case is being validated", 60, lambda: rest("GET", f"/v1/{case}")["state"] == "CASE_STATE_VALIDATING")
    time.sleep(3)  # a second attempt, and what was done so far has left for Jaeger
    stop("orchestrator")
    platform.start(service["compliance-validator"])
    platform.ready(service["compliance-validator"])
    platform.start(service["orchestrator"])
    platform.ready(service["orchestrator"])

    def settled():
        try:
            found = rest("GET", f"/v1/{case}")
        except OSError:
            return False
        return "waiting" in found or found["state"] == "CASE_STATE_RESOLVED"

    wait("the case goes on after the crash", 120, settled)
    return case


def trace_of(query):
    found = fetch(f"{query}/api/traces/{TRACE}")
    return found["data"][0] if found and found.get("data") else None


def look(trace):
    """What is wrong with the trace, and what there is in it."""
    service = {key: process["serviceName"] for key, process in trace["processes"].items()}
    spans = trace["spans"]
    by_service = {}
    for span in spans:
        by_service.setdefault(service[span["processID"]], []).append(span["operationName"])
    wrong = [f"no span of {name}" for name in ("gateway", "orchestrator", "intake", "spam-detection", "anti-corruption", "compliance-validator")
             if name not in by_service]
    ids = {span["spanID"] for span in spans}
    orphans = [span["operationName"] for span in spans for reference in span["references"]
               if reference["refType"] == "CHILD_OF" and reference["spanID"] not in ids | {"b7ad6b7169203331"}]
    if orphans:
        wrong.append(f"their parents are not there: {', '.join(sorted(set(orphans)))}")
    linked = [span for span in spans if any(r["refType"] == "FOLLOWS_FROM" for r in span["references"])]
    if not linked:
        wrong.append("no attempt is linked to the one before")
    paths = [name for names in by_service.values() for name in names if "/v1/" in name or "case_" in name]
    if paths:
        wrong.append(f"names with ids in them: {paths}")
    lasted = (max(s["startTime"] + s["duration"] for s in spans) - min(s["startTime"] for s in spans)) / 1e6
    return wrong, f"{len(spans)} spans of {len(by_service)} services in one trace of {lasted:.1f} s, {len(linked)} attempts linked to the one before"


def sampled(rest, query, prometheus):
    """How many of the quick calls are kept, and how many are counted."""
    for _ in range(QUICK_CALLS):
        rest("GET", "/v1/watchlists")
    operation = "probity.anticorruption.v1.AntiCorruptionService/ListWatchlists"
    total = f'sum(traces_span_metrics_calls_total{{service_name="gateway", span_name="{operation}", span_kind="SPAN_KIND_SERVER"}})'

    def counted():
        answer = fetch(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': total})}")
        result = answer["data"]["result"] if answer else []
        count = int(float(result[0]["value"][1])) if result else 0
        return count if count >= QUICK_CALLS else None

    count = wait("all calls are counted", 90, counted)
    time.sleep(12)  # decision_wait of the sampling, and the batch behind it
    kept = fetch(f"{query}/api/traces?{urllib.parse.urlencode({'service': 'gateway', 'operation': operation, 'limit': 1000, 'lookback': '1h'})}")
    return len(kept["data"]), count


def main():
    started = []
    with processes.trial("traces") as (binaries, folder, wrong):
        try:
            started, query, otlp, prometheus = start_jaeger(folder)
            values = (f"telemetry.otlpEndpoint={otlp}", "telemetry.sampleRatio=1")
            with processes.Platform(folder, binaries, *values) as platform:
                rest = Rest(platform)
                crash(platform, rest)
                wait("the last spans arrive", 60, lambda: (found := trace_of(query)) and not look(found)[0] or time.sleep(2))
                found, said = look(trace_of(query))
                wrong.extend(found)
                print(f"   {said}")
                if os.environ.get("PICTURES"):
                    pictures.trace(trace_of(query), "trace", os.environ["PICTURES"])
                kept, count = sampled(rest, query, prometheus)
                print(f"   {count} quick calls were counted, the traces of {kept} of them are kept")
                if not 0.02 * count < kept < 0.25 * count:
                    wrong.append("about a tenth of the quick calls should be kept")
                view = fetch(f"{query}/api/metrics/calls?service=gateway&lookback=600000&step=5000&ratePer=60000")
                if not (view and view.get("metrics")):
                    wrong.append("the service performance view has no data")
                slow = subprocess.run([binaries / "probity", "trace", "slow", "--jaeger", query, "--top", "5"], check=True, capture_output=True, text=True).stdout
                print(slow)
                if "FAILURES BEGIN IN" not in slow or "compliance" not in slow.lower():
                    wrong.append("probity trace slow does not say where the failures began")
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
                process.wait(20)


main()
