#!/usr/bin/env python3
"""Dumps the database of a running platform with the chart's own script, loses it, and puts the dump back.

    restore.py BINARIES [FOLDER]

The platform runs as seven processes on PostgreSQL. Restoring has to be refused while anybody is connected; afterwards every
case of before the dump has to be there, none of after it, a receipt of before has to verify, the log has to hold, and new
cases have to be decided. Old dumps have to go. Needs helm, openssl and PostgreSQL.
"""
import json
import subprocess
import time

import yaml

import processes


def scripts(backups):
    rendered = subprocess.run(
        ["helm", "template", "probity", processes.CHART, "-f", processes.CHART / "ci/minikube.yaml", "--set", "backup.keep=2",
         "--show-only", "templates/backup.yaml"], check=True, capture_output=True, text=True).stdout
    found = next(d for d in yaml.safe_load_all(rendered) if d and d["kind"] == "ConfigMap")
    return {name: text.replace("cd /backups", f"cd {backups}") for name, text in found["data"].items()}


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
        backups = folder / "backups"
        backups.mkdir(parents=True)
        script = scripts(backups)

        def must(holds, what):
            if not holds:
                wrong.append(what)

        with processes.Platform(folder, binaries) as platform:
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


main()
