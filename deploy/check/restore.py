#!/usr/bin/env python3
"""Loses the database of a running platform, and puts it back with the chart's own scripts: from a dump, from a base backup up
to a moment, and from a base backup up to what was last received.

    restore.py BINARIES [FOLDER]

The platform runs as seven processes on PostgreSQL. Restoring has to be refused while anybody is connected; afterwards every
case of before has to be there, none of after it, a receipt of before has to verify, the log has to hold, and new cases have
to be decided. Old backups have to go. Needs helm, openssl and PostgreSQL.
"""
import json
import os
import shutil
import signal
import subprocess
import time

import yaml

import processes


def scripts(template, folder, mount):
    """The scripts of a template of the chart, which find their volume in `folder` instead."""
    rendered = subprocess.run(
        ["helm", "template", "probity", processes.CHART, "-f", processes.CHART / "ci/minikube.yaml", "--set", "backup.keep=2",
         "--show-only", f"templates/{template}.yaml"], check=True, capture_output=True, text=True).stdout
    found = next(d for d in yaml.safe_load_all(rendered) if d and d["kind"] == "ConfigMap")
    return {name: text.replace(mount, str(folder)) for name, text in found["data"].items()}


def run(platform, script):
    environment = {"PATH": f"{platform.postgres.programs}:/usr/bin:/bin", "DATABASE_URL": platform.postgres.url}
    return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True)


def probity(platform, *arguments):
    command = [platform.binaries / "probity", *arguments, "--server", platform.gateway, "--token-file", platform.token]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def cases(platform):
    return sorted(json.loads(line)["name"] for line in probity(platform, "case", "list", "--all", "--json").splitlines())


def settle(platform, within=90):
    until = time.monotonic() + within
    while True:
        lines = probity(platform, "case", "list", "--all", "--json").splitlines()
        if all("waiting" in case or case["state"] == "CASE_STATE_RESOLVED" for case in map(json.loads, lines)):
            return
        if time.monotonic() > until:
            raise SystemExit(f"cases are still on their way after {within} s")
        time.sleep(0.5)


def stop(platform):
    for process in platform.processes.values():
        process.terminate()
    for process in platform.processes.values():
        process.wait(40)


def start(platform):
    for service in platform.services:
        platform.start(service)
    for service in platform.services:
        platform.ready(service)


def main():
    with processes.trial("restore") as (binaries, folder, wrong):
        def must(holds, what):
            if not holds:
                wrong.append(what)

        with processes.Platform(folder, binaries) as platform:
            from_dump(platform, folder, must)
            with Archive(platform, folder / "archive") as archive:
                to_a_moment(platform, folder, archive, must)
                to_the_last(platform, folder, archive, must)
                gap(archive, must)


def from_dump(platform, folder, must):
    backups = folder / "backups"
    backups.mkdir(parents=True)
    script = scripts("backup", backups, "/backups")
    probity(platform, "seed")
    settle(platform)
    before = cases(platform)
    receipt = folder / "receipt.json"
    probity(platform, "audit", "receipt", before[0], "--out", receipt)
    for _ in range(3):
        dumped = run(platform, script["dump"])
        must(dumped.returncode == 0, f"the dump failed: {dumped.stderr}")
        time.sleep(1.1)  # dumps are named by the second
    must(len(list(backups.glob("*.dump"))) == 2, "two dumps should stay")
    print(f"   {dumped.stdout.strip()}")
    report = folder / "later.txt"
    report.write_text("He was paid 3,000 in cash for the contract, after the dump.")
    probity(platform, "case", "open", "--kind", "report", report)
    refused = run(platform, script["restore"])
    must(refused.returncode == 1 and "scale the services to 0" in refused.stdout, f"restoring is not refused while services run: {refused}")
    stop(platform)
    begun = time.monotonic()
    drop = "".join(f'DROP SCHEMA "{schema}" CASCADE;' for schema in ("orchestrator", "audit_aggregator", "intake"))
    lost = subprocess.run([platform.postgres.programs / "psql", "-q", "-c", drop, platform.postgres.url], capture_output=True, text=True)
    must(lost.returncode == 0, f"nothing could be lost: {lost.stderr}")
    restored = run(platform, script["restore"])
    must(restored.returncode == 0, f"restoring failed: {restored.stdout} {restored.stderr}")
    start(platform)
    took = time.monotonic() - begun
    must(cases(platform) == before, "the cases are not those of before the dump")
    checked = probity(platform, "audit", "check").strip().splitlines()[-1]
    probity(platform, "audit", "verify", receipt)
    probity(platform, "case", "open", "--kind", "report", report)
    settle(platform)
    must(len(cases(platform)) == len(before) + 1, "a new case should be there")
    print(f"   {len(before)} cases back {took:.1f} s after three schemas were lost, starting the services included; {checked}")


class Archive:
    """The scripts of the chart that keep base backups and the log, as the user of the server."""

    def __init__(self, platform, folder):
        self.platform, self.folder, self.process = platform, folder, None
        folder.mkdir()
        self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if self.as_user:
            shutil.chown(folder, "postgres", "postgres")
        self.script = scripts("archive", folder, "/archive")
        self.environment = {
            "PATH": f"{platform.postgres.programs}:/usr/bin:/bin", "DATABASE_URL": platform.postgres.url, "LC_ALL": "C.UTF-8",
            "HOURS": "24", "KEEP": "2", "PAUSE": "1", "PGDATA": str(platform.postgres.folder / "data")}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        log = open(self.folder.parent / "archive.log", "ab")
        self.process = subprocess.Popen(
            [*self.as_user, "sh", "-c", self.script["archive"]], env=self.environment, stdout=log, stderr=log, cwd="/")

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def restore(self, **more):
        return subprocess.run(
            [*self.as_user, "sh", "-c", self.script["restore"]], env=self.environment | more, capture_output=True, text=True, cwd="/")

    def bases(self):
        return sorted(self.folder.glob("line-*/base-*"))

    def ask(self, query):
        command = [self.platform.postgres.programs / "psql", "-At", "-c", query, self.platform.postgres.url]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def wait(self, what, condition, within=90):
        until = time.monotonic() + within
        while not condition():
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{what}: not within {within} s\n{(self.folder.parent / 'archive.log').read_text()[-2000:]}")
            time.sleep(0.2)

    def catch_up(self):
        """Until all there is at this moment has been received."""
        now = self.ask("SELECT pg_current_wal_flush_lsn()")
        received = f"SELECT count(*) FROM pg_stat_replication WHERE flush_lsn >= '{now}' AND application_name = 'pg_receivewal'"
        self.wait("the log is received", lambda: self.ask(received) == "1")


def open_case(platform, folder, text):
    report = folder / "later.txt"
    report.write_text(text)
    probity(platform, "case", "open", "--kind", "report", report)
    settle(platform)


def put_back(platform, archive, must, **more):
    """Restores and starts what uses it; how long that took."""
    begun = time.monotonic()
    restored = archive.restore(**more)
    must(restored.returncode == 0, f"restoring a base backup failed: {restored.stdout} {restored.stderr}")
    platform.postgres.go_on()
    start(platform)
    return time.monotonic() - begun, restored.stdout.strip()


def to_a_moment(platform, folder, archive, must):
    """A mistake is undone: everything up to a moment before it is back."""
    archive.start()
    archive.wait("the base backup", archive.bases)
    open_case(platform, folder, "A gift of 900 for the inspector, after the base backup.")
    before = cases(platform)
    receipt = folder / "receipt-base.json"
    probity(platform, "audit", "receipt", before[-1], "--out", receipt)
    time.sleep(1.1)  # moments are told by the second
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    time.sleep(1.1)
    open_case(platform, folder, "Another gift, after the moment.")
    archive.ask('DROP SCHEMA orchestrator CASCADE')
    archive.catch_up()
    stop(platform)
    refused = archive.restore(RESTORE_TIME=moment)
    must(refused.returncode == 1 and "scale it to 0" in refused.stdout, f"restoring is not refused while PostgreSQL runs: {refused}")
    archive.stop()
    platform.postgres.stop()
    early = archive.restore(RESTORE_TIME="20200101T000000Z")
    must(early.returncode == 1 and "no base backup" in early.stdout, f"a moment before all backups is not refused: {early}")
    took, said = put_back(platform, archive, must, RESTORE_TIME=moment)
    must(cases(platform) == before, "the cases are not those of the moment")
    checked = probity(platform, "audit", "check").strip().splitlines()[-1]
    probity(platform, "audit", "verify", receipt)
    print(f"   {said}\n   {len(before)} cases of the moment back {took:.1f} s after a schema was dropped, starting everything included; {checked}")


def to_the_last(platform, folder, archive, must):
    """The server is lost: everything it had sent is back."""
    archive.start()
    archive.wait("a base backup of the next line", lambda: len({base.parent for base in archive.bases()}) == 2)
    archive.stop()
    archive.start()
    open_case(platform, folder, "A yacht for the minister, after everything.")
    before = cases(platform)
    archive.catch_up()
    platform.postgres.stop("immediate")
    stop(platform)
    archive.stop()
    shutil.rmtree(platform.postgres.folder / "data")
    took, said = put_back(platform, archive, must)
    must(cases(platform) == before, "the cases are not all that there were")
    checked = probity(platform, "audit", "check").strip().splitlines()[-1]
    open_case(platform, folder, "And the next one.")
    must(len(cases(platform)) == len(before) + 1, "a new case should be there")
    print(f"   {said}\n   {len(before)} cases back {took:.1f} s after the server was lost, starting everything included; {checked}")
    archive.environment |= {"HOURS": "0"}  # one after the other
    archive.start()
    archive.wait("old base backups go", lambda: len(archive.bases()) == 2 and len({base.parent for base in archive.bases()}) == 1)
    archive.stop()


def gap(archive, must):
    """Log that the server threw away before it was received: nothing is restored across it."""
    archive.environment |= {"HOURS": "24"}
    for setting in ("max_slot_wal_keep_size = '1MB'", "max_wal_size = '32MB'"):
        archive.ask(f"ALTER SYSTEM SET {setting}")
    archive.ask("SELECT pg_reload_conf()")
    for _ in range(4):
        archive.ask("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000000)), pg_switch_wal()")
    archive.ask("CHECKPOINT")
    lines = len({base.parent for base in archive.bases()})
    archive.start()
    must(archive.process.wait(60) == 1, "log that is lost goes unnoticed")
    archive.process = None
    archive.ask("ALTER SYSTEM RESET ALL")
    archive.ask("SELECT pg_reload_conf()")
    archive.start()
    archive.wait("a base backup after the gap", lambda: len({base.parent for base in archive.bases()}) == lines + 1)
    print("   log that the server threw away is noticed, and the next line begins with a base backup")


main()
