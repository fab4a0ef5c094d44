"""People who report, officers who read: for locust.

    PROBITY_TOKEN=$(cat token) locust -f tests/load/locustfile.py --headless --host http://127.0.0.1:8080 -u 20 -r 5 -t 1m

Each user waits between its deeds as a person would. A report is a document and a case of it, with an idempotency key, so
that a request that is repeated does nothing twice.
"""
import os
import random
import uuid

from locust import HttpUser, between, task

TEXTS = [
    "The contract went to the brother-in-law of the director, who took an envelope of {} for it.",
    "Invoice {} was paid twice, and the second payment went to another account.",
    "I have seen nothing of the kind; the works of lot {} are finished as agreed.",
]


class Platform(HttpUser):
    abstract = True

    def on_start(self):
        self.client.headers["authorization"] = f"Bearer {os.environ['PROBITY_TOKEN'].strip()}"


class Reporter(Platform):
    """Hands in a report and looks once what became of it."""

    weight = 1
    wait_time = between(1, 5)

    @task
    def report(self):
        text = random.choice(TEXTS).format(random.randint(100, 99_999)) + f" ({uuid.uuid4()})"
        uploaded = self.client.post("/v1/documents?media_type=text/plain&filename=report.txt", data=text.encode(),
                                    headers={"content-type": "text/plain"}, name="POST /v1/documents")
        if not uploaded.ok:
            return
        case = {"kind": "CASE_KIND_REPORT", "documents": [uploaded.json()["name"]], "subject": "A report"}
        opened = self.client.post("/v1/cases", json=case, headers={"idempotency-key": str(uuid.uuid4())})
        if opened.ok:
            self.client.get(f"/v1/{opened.json()['name']}", name="GET /v1/cases/*")


class Officer(Platform):
    """Looks through what waits, and into one of it."""

    weight = 4
    wait_time = between(0.5, 2)

    @task(3)
    def look_through(self):
        found = self.client.get("/v1/cases?waiting=true&page_size=20", name="GET /v1/cases?waiting")
        cases = found.json().get("cases", []) if found.ok else []
        if cases:
            name = random.choice(cases)["name"]
            self.client.get(f"/v1/{name}", name="GET /v1/cases/*")
            self.client.get(f"/v1/{name}/history", name="GET /v1/cases/*/history")

    @task(1)
    def executions(self):
        self.client.get("/v1/executions?page_size=20", name="GET /v1/executions")
