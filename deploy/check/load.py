#!/usr/bin/env python3
"""Asks a platform at a fixed rate and counts what was answered: reads of cases, and executions that are started.

    load.py HOST:PORT TOKEN_FILE [--host NAME] [--rate 50] [--starts 20] [--fresh] (--seconds N | --until FILE)

A request that is due is sent whether earlier ones are answered or not, as long as there is a free connection of 32.
`--fresh` makes a connection for every request. `--starts` is the share of starts in percent, each with an idempotency key
of its own; none is sent twice. Prints one JSON object, and a line for each second in which something failed on standard
error. Ends with 1 when a request failed.
"""
import argparse
import collections
import http.client
import json
import pathlib
import queue
import sys
import threading
import time
import uuid

CONNECTIONS = 32
LONGEST_S = 30


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("token")
    parser.add_argument("--host", default="probity.local")
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--path", default="/v1/cases?page_size=1")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--until", type=pathlib.Path)
    return parser.parse_args()


class Load:
    def __init__(self, asked):
        self.asked = asked
        self.headers = {"host": asked.host, "authorization": f"Bearer {pathlib.Path(asked.token).read_text().strip()}"}
        self.due, self.lock = queue.Queue(), threading.Lock()
        self.took, self.failed, self.seconds = [], collections.Counter(), collections.Counter()

    def send(self, connection, start):
        headers = dict(self.headers)
        if start:
            body = json.dumps({"definition": "definitions/load-check"})
            headers |= {"content-type": "application/json", "idempotency-key": str(uuid.uuid4())}
            connection.request("POST", "/v1/executions", body, headers)
        else:
            connection.request("GET", self.asked.path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return str(answer.status)

    def work(self):
        connection = None
        while (task := self.due.get()) is not None:
            begun = time.monotonic()
            connection = connection or http.client.HTTPConnection(self.asked.address, timeout=LONGEST_S)
            try:
                status = self.send(connection, task == "start")
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
                connection.close()
                connection = None
            if self.asked.fresh and connection:
                connection.close()
                connection = None
            with self.lock:
                self.took.append(time.monotonic() - begun)
                if not status.startswith("2"):
                    self.failed[f"{task} {status}"] += 1
                    self.seconds[time.strftime("%H:%M:%S", time.gmtime())] += 1

    def over(self, begun):
        if self.asked.until:
            return self.asked.until.exists()
        return time.monotonic() - begun > self.asked.seconds

    def run(self):
        workers = [threading.Thread(target=self.work) for _ in range(CONNECTIONS)]
        for worker in workers:
            worker.start()
        begun, sent = time.monotonic(), 0
        while not self.over(begun):
            sent += 1
            self.due.put("start" if sent * self.asked.starts // 100 > (sent - 1) * self.asked.starts // 100 else "read")
            time.sleep(max(0.0, begun + sent / self.asked.rate - time.monotonic()))
        for _ in workers:
            self.due.put(None)
        for worker in workers:
            worker.join()
        return time.monotonic() - begun

    def summary(self, lasted):
        took = sorted(self.took)
        at = lambda share: round(took[min(len(took) - 1, int(len(took) * share))] * 1000) if took else 0
        for second, count in sorted(self.seconds.items()):
            print(f"{second} {count} failed", file=sys.stderr)
        return {"sent": len(took), "failed": sum(self.failed.values()), "why": dict(self.failed),
                "per_second": round(len(took) / lasted, 1), "p50_ms": at(0.5), "p99_ms": at(0.99), "worst_ms": at(1)}


load = Load(arguments())
summary = load.summary(load.run())
print(json.dumps(summary))
sys.exit(1 if summary["failed"] else 0)
