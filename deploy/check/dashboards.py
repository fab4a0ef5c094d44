#!/usr/bin/env python3
"""Runs every query of every dashboard on a Prometheus that scrapes the running platform under load.

    dashboards.py BINARIES [FOLDER]

Every panel has to return data. On the way one service is stopped and started again, so that breakers, refusals and
retries have something to show, and calls without a token are made. The alert rules are loaded as well, and no alert may
be wrong about its own expression. Needs prometheus, helm, openssl and PostgreSQL.
"""
import json
import pathlib
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

import processes

KINDS = {"tenders": "tender", "payments": "payment", "messages": "message", "reports": "report"}


def start_prometheus(folder, services):
    port = processes.free_port()
    targets = folder / "targets.json"
    targets.write_text(json.dumps([
        {"targets": [f"127.0.0.1:{s['adminPort'] + processes.SHIFT}"], "labels": {"job": s["name"]}} for s in services]))
    config = folder / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n"
        f"rule_files: [{processes.ROOT}/deploy/prometheus/rules.yaml]\n"
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
        raise SystemExit(f"{parameters}: {json.load(error)['error']}") from None


def load(platform, stop):
    """Opens cases of every kind, and knocks without a token, until it is told to stop."""
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
    prometheus = None
    stop = threading.Event()
    try:
        with processes.Platform(folder, binaries) as platform:
            process, prometheus = start_prometheus(folder, platform.services)
            worker = threading.Thread(target=load, args=(platform, stop))
            worker.start()
            try:
                wait("cases are resolved", 90, lambda: any(numbers(
                    ask(prometheus, "query", query='orchestrator_case_transitions_total{to="resolved"}')["result"]))
                    if up(prometheus) else False)
                outage(platform, prometheus)
                failed = run(prometheus)
            finally:
                stop.set()
                worker.join()
                process.send_signal(signal.SIGTERM)
                process.wait(20)
    finally:
        if len(sys.argv) < 3:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


def up(prometheus):
    try:
        return bool(ask(prometheus, "query", query="up")["result"])
    except OSError:
        return False


def outage(platform, prometheus):
    """Stops a service until its callers leave it alone, and starts it again."""
    spam = next(s for s in platform.services if s["name"] == "spam-detection")
    platform.processes["spam-detection"].kill()
    platform.processes["spam-detection"].wait()
    opened = 'circuit_breaker_state{peer="spam-detection", state="open"} == 1'
    wait("the breaker opens", 90, lambda: ask(prometheus, "query", query=opened)["result"])
    wait("the alert for the stopped service is pending", 30, lambda: any(
        alert["labels"]["alertname"] == "ProbityServiceDown" for alert in ask(prometheus, "alerts")["alerts"]))
    platform.start(spam)
    platform.ready(spam)
    wait("the breaker closes", 90, lambda: not ask(prometheus, "query", query=opened)["result"])
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
    print(f"{count - failed} of {count} queries returned data; {series} series of {len(ask(prometheus, 'targets')['activeTargets'])} targets")
    return failed


main()
