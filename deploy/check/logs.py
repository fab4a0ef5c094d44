#!/usr/bin/env python3
"""Ships the lines of the running platform into a real OpenSearch and looks for a request there.

    logs.py BINARIES [FOLDER]

The platform runs as seven processes that say everything (debug). A case is opened under a request id of its own; a search
for that id has to find its lines and no others, and one for an id that went far those of several services. What nobody may read in a log is sent along: a password, a token that is
not valid, personal data in a document and in a note; none of it may be in any line, in the store or in the files. Every
line has to be JSON and has to arrive. Indices older than 30 days go, others stay. Needs Java, Maven, rsyslog with
rsyslog-elasticsearch, helm, openssl, PostgreSQL.
"""
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import processes

LOGGING = processes.ROOT / "deploy/logging"
REQUEST = "req-4711-looked-for"
CANARIES = {
    "a password": "canary-Passw0rd-7319",
    "a token": "canary.eyJhbGciOiJub25lIn0.7319",
    "an e-mail address": "canary7319@example.org",
    "an account number": "DE02120300000000207319",
    "words of a report": "canary-whistle-7319",
}


def call(url, body=None, headers=None, method=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, method=method, headers={"content-type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text
    except urllib.error.HTTPError as error:
        return error.code, None


def wait(what, within, condition):
    until = time.monotonic() + within
    while True:
        try:
            found = condition()
        except OSError:
            found = None
        if found:
            return found
        if time.monotonic() > until:
            raise SystemExit(f"{what}: not within {within} s")
        time.sleep(0.5)


def start_store(folder):
    port = processes.free_port()
    log = open(folder / "opensearch.log", "wb")
    process = subprocess.Popen([processes.ROOT / "deploy/check/opensearch", folder / "opensearch", str(port)], stdout=log, stderr=log)
    store = f"http://127.0.0.1:{port}"
    wait("OpenSearch answers", 300, lambda: call(store)[0] == 200 if process.poll() is None else sys.exit((folder / "opensearch.log").read_text()[-3000:]))
    return process, store


def start_shipper(platform, store):
    folder = platform.folder
    text = (LOGGING / "rsyslog.conf").read_text()
    # The database's own log lies beside those of the services, so each is named.
    reads = next(line for line in text.splitlines() if line.startswith("input("))
    text = text.replace(reads, "\n".join(reads.replace("FILES", f"{folder}/{service['name']}/log") for service in platform.services))
    text = text.replace('"HOST"', '"127.0.0.1"').replace('"PORT"', f'"{store.rsplit(":", 1)[1]}"')
    config = folder / "rsyslog.conf"
    config.write_text(f'global(workDirectory="{folder}")\n{text}')
    log = open(folder / "rsyslog.log", "wb")
    return subprocess.Popen(["rsyslogd", "-n", "-f", config, "-i", folder / "rsyslog.pid"], stdout=log, stderr=log)


def speak(platform):
    """Opens a case under a request id, and says what no log may repeat."""
    token = {"authorization": f"Bearer {platform.token.read_text().strip()}"}
    report = platform.folder / "report.txt"
    report.write_text(f"{CANARIES['words of a report']}: write to {CANARIES['an e-mail address']}, he was paid to "
                      f"{CANARIES['an account number']} in cash for the contract, 3,000 each time.")
    platform.cli("case", "open", "--kind", "report", report)
    case = wait("a case", 60, lambda: call(f"{platform.gateway}/v1/cases", headers=token)[1].get("cases"))[0]
    call(f"{platform.gateway}/v1/{case['name']}", headers={**token, "x-request-id": REQUEST})
    call(f"{platform.gateway}/v1/{case['name']}/findings", headers={**token, "x-request-id": REQUEST})
    call(f"{platform.gateway}/v1/cases", headers={"authorization": f"Bearer {CANARIES['a token']}"})
    call(f"{platform.gateway}/v1/sessions:login", {"user": "users/nobody", "name": "nobody", "password": CANARIES["a password"]})
    call(f"{platform.gateway}/v1/sessions:login", {"username": "nobody", "password": CANARIES["a password"]})
    call(f"{platform.gateway}/v1/cases", {"password": CANARIES["a password"], "kind": CANARIES["an e-mail address"]}, headers=token)
    platform.cli("seed")


def lines(platform):
    for service in platform.services:
        for line in (platform.folder / service["name"] / "log").read_text().splitlines():
            if not line.startswith("READY "):  # for whoever started it, on its standard output
                yield service["name"], line


def widest(store):
    """The request that most services spoke of, and those services."""
    parts = {"services": {"terms": {"field": "service"}}, "how_many": {"cardinality": {"field": "service"}}}
    by_request = {"terms": {"field": "request_id", "size": 1, "order": {"how_many": "desc"}}, "aggs": parts}
    answer = call(f"{store}/probity-*/_search?size=0", {"aggs": {"requests": by_request}})[1]
    best = answer["aggregations"]["requests"]["buckets"][0]
    return best["key"], {service["key"] for service in best["services"]["buckets"]}


def look(platform, store, wrong):
    must = lambda holds, what: holds or wrong.append(what)
    search = lambda query: call(f"{store}/probity-*/_search?size=200", {"query": query})[1]["hits"]
    count = lambda: (call(f"{store}/probity-*/_refresh", method="POST"), call(f"{store}/probity-*/_count")[1]["count"])[1]
    written = list(lines(platform))
    for service, line in written:
        must(line.startswith("{") and json.loads(line)["service"], f"{service}: not a line of JSON: {line}")
    wait(f"all {len(written)} lines arrive in the store", 120, lambda: count() >= len(written))
    must(count() == len(written), f"{count()} lines are in the store, {len(written)} were written")
    found = search({"query_string": {"query": f'"{REQUEST}"'}})["hits"]
    must(found, "the request is not found")
    must(all(hit["_source"]["request_id"] == REQUEST for hit in found), "lines of another request are found")
    far, services = widest(store)
    of_far = {hit["_source"]["service"] for hit in search({"query_string": {"query": f'"{far}"'}})["hits"]}
    must(len(of_far) >= 2 and of_far == services, f"request {far} is found in {sorted(of_far)}, and {sorted(services)} spoke of it")
    for what, canary in CANARIES.items():
        must(not any(canary in line for _, line in written), f"{what} is in a log")
        hits = search({"query_string": {"query": f'"{canary}"'}})["total"]["value"]
        must(hits == 0, f"{what} is found in the store")
    mapping = next(iter(call(f"{store}/probity-*/_mapping")[1].values()))["mappings"]["properties"]
    must(mapping["timestamp"]["type"] == "date" and mapping["request_id"]["type"] == "keyword", "the template was not used")
    print(f"   {len(written)} lines of {len(platform.services)} services arrived; a request id finds its {len(found)}, another those of {', '.join(sorted(of_far))}; "
          f"none of {len(CANARIES)} secrets is in any")


def expire(store, wrong):
    today = time.strftime("%Y.%m.%d", time.gmtime())
    for index in ("probity-2024.01.31", "others-2024.01.31"):
        call(f"{store}/{index}/_doc", {"message": "old"})
    subprocess.run([LOGGING / "retain", store], check=True, capture_output=True)
    left = {index["index"] for index in call(f"{store}/_cat/indices?format=json")[1]}
    if "probity-2024.01.31" in left or not {"others-2024.01.31", f"probity-{today}"} <= left:
        wrong.append(f"after 30 days: {sorted(left)} are left")
    print("   an index older than 30 days is removed, others stay")


def main():
    running = []
    with processes.trial("logs") as (binaries, folder, wrong):
        try:
            process, store = start_store(folder)
            running.append(process)
            said = subprocess.run([LOGGING / "setup", store], check=True, capture_output=True, text=True).stdout
            print("   " + said.strip().replace("\n", "; "))
            with processes.Platform(folder, binaries, "telemetry.logFilter=debug") as platform:
                running.append(start_shipper(platform, store))
                speak(platform)
                for process in platform.processes.values():
                    process.send_signal(signal.SIGTERM)
                for process in platform.processes.values():
                    process.wait(40)
                look(platform, store, wrong)
            expire(store, wrong)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(60)


main()
