#!/usr/bin/env python3
"""Runs every query of every dashboard on a Prometheus that scrapes the running platform under load.

    dashboards.py BINARIES [FOLDER]

Every panel has to return data. On the way one service is stopped and started again, so that breakers, refusals and
retries have something to show, and calls without a token are made. The alert of that service has to go through a real
Alertmanager to a webhook, and be taken back when the service is there again; the breaker's, which it explains, must not.
Waiting times of rules and routes are cut to seconds for that. Needs prometheus, alertmanager, helm, openssl and PostgreSQL.
With PICTURES set to a folder the dashboards are drawn there in the end (needs chromium).
"""
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pictures
import processes

KINDS = {"tenders": "tender", "payments": "payment", "messages": "message", "reports": "report"}


class Webhook:
    """Remembers what Alertmanager sends: (name, firing or resolved) of every alert."""

    def __init__(self):
        self.seen = []
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                webhook.seen += [(alert["labels"]["alertname"], alert["status"]) for alert in body["alerts"]]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def start_alertmanager(folder, webhook):
    port = processes.free_port()
    text = (processes.ROOT / "deploy/prometheus/alertmanager.yml").read_text()
    text = text.replace("http://127.0.0.1:9095/", f"http://127.0.0.1:{webhook.server.server_port}/")
    text = re.sub(r"group_wait: \w+", "group_wait: 1s", text)
    text = re.sub(r"group_interval: \w+", "group_interval: 1s", text)
    config = folder / "alertmanager.yml"
    config.write_text(text)
    log = open(folder / "alertmanager.log", "wb")
    program = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
    process = subprocess.Popen(
        [program, f"--config.file={config}", f"--storage.path={folder / 'alerts'}", "--cluster.listen-address=",
         f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    return process, port


def start_prometheus(folder, services, alertmanager):
    port = processes.free_port()
    rules = folder / "rules.yaml"
    # What waits longer still waits longer: a breaker's alert comes after that of the service behind it.
    text = (processes.ROOT / "deploy/prometheus/rules.yaml").read_text()
    rules.write_text(text.replace("for: 1m\n", "for: 2s\n").replace("for: 2m\n", "for: 12s\n"))
    targets = folder / "targets.json"
    targets.write_text(json.dumps([
        {"targets": [f"127.0.0.1:{s['adminPort'] + processes.SHIFT}"], "labels": {"job": s["name"]}} for s in services]))
    config = folder / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n"
        f"rule_files: [{rules}]\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}\n"
        f"scrape_configs: [{{job_name: probity, file_sd_configs: [{{files: [{targets}]}}]}}]\n")
    log = open(folder / "prometheus.log", "wb")
    process = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
         f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    return process, f"http://127.0.0.1:{port}"


def ask(prometheus, path, **parameters):
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        if error.code == 503:  # it is starting
            raise
        raise SystemExit(f"{parameters}: {json.load(error)['error']}") from None


def load(platform, stop):
    """Opens cases of every kind, and knocks without a token, until it is told to stop."""
    connection = ["--server", platform.gateway, "--token-file", platform.token]
    command = lambda *arguments: subprocess.run([platform.binaries / "probity", *arguments, *connection], capture_output=True)
    # What people say of findings, and what begins by the clock.
    command("workflow", "register", processes.ROOT / "deploy/check/load-check.yaml")
    command("schedule", "create", "check", "--definition", "load-check", "--timing", "@every 2s")
    command("seed", "--decide")
    dispose(platform)
    seed = 0
    while not stop.is_set():
        seed += 1
        samples = platform.folder / f"samples-{seed}"
        subprocess.run([platform.binaries / "probity", "samples", "generate", samples, "--seed", str(seed)],
                       check=True, capture_output=True)
        for directory, kind in KINDS.items():
            files = sorted((samples / directory).iterdir())
            subprocess.run([platform.binaries / "probity", "case", "open", "--kind", kind, *files,
                            "--server", platform.gateway, "--token-file", platform.token], capture_output=True)
        for _ in range(5):
            try:
                urllib.request.urlopen(f"{platform.gateway}/v1/cases", timeout=2)
            except OSError:
                pass
        shutil.rmtree(samples)


def dispose(platform):
    """Says of every second finding that it was wrong, of the others that they were right."""
    headers = {"authorization": f"Bearer {platform.token.read_text().strip()}", "content-type": "application/json"}

    def call(path, body=None):
        data = json.dumps(body).encode() if body else None
        with urllib.request.urlopen(urllib.request.Request(platform.gateway + path, data=data, headers=headers), timeout=30) as answer:
            return json.load(answer)

    said = 0
    for case in call("/v1/cases?page_size=50")["cases"]:
        for finding in call(f"/v1/{case['name']}/findings").get("findings", []):
            said += 1
            word = "DISPOSITION_FALSE_POSITIVE" if said % 2 else "DISPOSITION_CONFIRMED"
            call(f"/v1/{finding['name']}:setDisposition", {"disposition": word, "note": "tried"})


def numbers(result):
    return [float(series["value"][1]) for series in result if series["value"][1] != "NaN"]


def queries():
    for file in sorted((processes.ROOT / "deploy/grafana/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield file.stem, panel["title"], target["expr"]


def filled(expression):
    return expression.replace("$__rate_interval", "30s").replace("$service", ".+")


def wait(what, within, condition):
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"{what}: not within {within} s")
        time.sleep(0.5)


def main():
    binaries = pathlib.Path(sys.argv[1])
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="probity-dashboards-"))
    stop = threading.Event()
    webhook = Webhook()
    begun = time.time()
    try:
        with processes.Platform(folder, binaries) as platform:
            alertmanager, alerts = start_alertmanager(folder, webhook)
            process, prometheus = start_prometheus(folder, platform.services, alerts)
            worker = threading.Thread(target=load, args=(platform, stop))
            worker.start()
            try:
                wait("cases are resolved", 90, lambda: any(numbers(
                    ask(prometheus, "query", query='orchestrator_case_transitions_total{to="resolved"}')["result"]))
                    if up(prometheus) else False)
                outage(platform, prometheus, webhook)
                failed = run(prometheus)
                if os.environ.get("PICTURES"):
                    time.sleep(120)  # something to see
                    pictures.dashboards(prometheus, begun, time.time(), os.environ["PICTURES"])
            finally:
                stop.set()
                worker.join()
                for ending in (process, alertmanager):
                    ending.send_signal(signal.SIGTERM)
                    ending.wait(20)
    finally:
        if len(sys.argv) < 3:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


def up(prometheus):
    try:
        return bool(ask(prometheus, "query", query="up")["result"])
    except OSError:
        return False


def outage(platform, prometheus, webhook):
    """Stops a service until its callers leave it alone, and starts it again."""
    spam = next(s for s in platform.services if s["name"] == "spam-detection")
    platform.processes["spam-detection"].kill()
    platform.processes["spam-detection"].wait()
    opened = 'circuit_breaker_state{peer="spam-detection", state="open"} == 1'
    wait("the breaker opens", 90, lambda: ask(prometheus, "query", query=opened)["result"])
    firing = lambda name: any(alert["labels"]["alertname"] == name and alert["state"] == "firing"
                              for alert in ask(prometheus, "alerts")["alerts"])
    wait("the webhook is told of the stopped service", 60, lambda: ("ProbityServiceDown", "firing") in webhook.seen)
    wait("the alert of the open breaker fires", 60, lambda: firing("ProbityBreakerOpen"))
    time.sleep(3)  # three times as long as Alertmanager waits before it sends
    if ("ProbityBreakerOpen", "firing") in webhook.seen:
        raise SystemExit("the alert of the breaker was sent although ProbityServiceDown explains it")
    platform.start(spam)
    platform.ready(spam)
    wait("the breaker closes", 90, lambda: not ask(prometheus, "query", query=opened)["result"])
    wait("the webhook is told that it is back", 60, lambda: ("ProbityServiceDown", "resolved") in webhook.seen)
    print("   ProbityServiceDown went to the webhook and was taken back; ProbityBreakerOpen was held back")
    time.sleep(5)  # a few scrapes of the platform as it is when all is well


def run(prometheus):
    failed = 0
    count = 0
    for board, title, expression in queries():
        count += 1
        result = ask(prometheus, "query", query=filled(expression))["result"]
        if not numbers(result):
            failed += 1
            print(f"no data: {board}: {title}: {expression}")
    for group in ask(prometheus, "rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] != "ok":
                failed += 1
                print(f"rule {rule['name']}: {rule['health']}: {rule.get('lastError')}")
    series = int(numbers(ask(prometheus, "query", query='count({service=~".+"})')["result"])[0])
    print(f"   {count - failed} of {count} queries returned data; {series} series of {len(ask(prometheus, 'targets')['activeTargets'])} targets")
    return failed


main()
