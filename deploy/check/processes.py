#!/usr/bin/env python3
"""Runs every service as a process of its own on a PostgreSQL, configured as the chart configures its pods.

    with Platform(folder, binaries) as platform: ...

What differs from the cluster is replaced in the rendered configuration: names become the loopback address, ports are
moved up, folders are inside `folder`. Each service gets only the key files its pod would get, and cannot write them.
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/probity"
SHIFT = 20000


def services():
    return yaml.safe_load((CHART / "files/platform.yaml").read_text())["services"]


@contextlib.contextmanager
def trial(name):
    """The folder of the binaries, the folder that was named or a new one that goes at the end, and a list: what is wrong
    is put there, printed at the end, and ends the program with 1."""
    named = len(sys.argv) > 2
    folder = pathlib.Path(sys.argv[2] if named else tempfile.mkdtemp(prefix=f"probity-{name}-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    wrong = []
    try:
        yield pathlib.Path(sys.argv[1]), folder, wrong
    finally:
        if not named:
            shutil.rmtree(folder, ignore_errors=True)
    for what in wrong:
        print(what)
    sys.exit(1 if wrong else 0)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Postgres:
    """A server of its own, as the user `postgres` when root asks for it."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        self.programs = found[-1].parent if found else pathlib.Path(shutil.which("initdb") or "initdb").parent

    def run(self, *command):
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        environment = {"PATH": f"{self.programs}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        subprocess.run([*as_user, *map(str, command)], check=True, env=environment, stdout=subprocess.DEVNULL, cwd="/")

    def start(self):
        self.folder.mkdir(parents=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        data = self.folder / "data"
        self.run(self.programs / "initdb", "-D", data, "-A", "trust", "-E", "UTF8", "-U", "probity")
        self.go_on()
        self.run(self.programs / "createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "probity", "probity")
        self.url = f"postgres://probity@127.0.0.1:{self.port}/probity"

    def go_on(self):
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder} -c max_connections=200"
        self.run(self.programs / "pg_ctl", "-w", "-D", self.folder / "data", "-l", self.folder / "log", "-o", options, "start")

    def stop(self, mode="fast"):
        self.run(self.programs / "pg_ctl", "-D", self.folder / "data", "-m", mode, "stop")


class Platform:
    def __init__(self, folder, binaries, *values):
        """`values` are more of them for the chart, as `name=value`."""
        self.folder, self.binaries, self.values = pathlib.Path(folder).resolve(), pathlib.Path(binaries), values
        self.services = services()
        self.postgres = Postgres(self.folder / "postgres")
        self.processes = {}
        self.gateway = f"http://127.0.0.1:{8080 + SHIFT}"
        self.token = self.folder / "token"

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        # The server's own user has to get through to its folder.
        self.folder.chmod(0o755)
        try:
            self.postgres.start()
            self.keys()
            self.configurations = self.render()
            for service in self.services:
                self.start(service)
            for service in self.services:
                self.ready(service)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
        if hasattr(self.postgres, "url"):
            self.postgres.stop()

    def keys(self):
        everything = self.folder / "keys"
        subprocess.run([ROOT / "deploy/scripts/keys", "--folder", everything], check=True, stderr=subprocess.DEVNULL)
        token = subprocess.run([ROOT / "deploy/scripts/admin-token", "--folder", everything], check=True, capture_output=True)
        self.token.write_bytes(token.stdout)

    def render(self):
        rendered = subprocess.run(
            ["helm", "template", "probity", CHART, "-n", "probity", "-f", CHART / "ci/minikube.yaml",
             *(argument for value in ("redis.enabled=false", *self.values) for argument in ("--set", value))], check=True, capture_output=True, text=True).stdout
        documents = [document for document in yaml.safe_load_all(rendered) if document]
        of_kind = lambda *kinds: {d["metadata"]["name"]: d for d in documents if d["kind"] in kinds}
        return of_kind("ConfigMap"), of_kind("Deployment", "StatefulSet")

    def start(self, service):
        maps, workloads = self.configurations
        name = f"probity-{service['name']}"
        spec = workloads[name]["spec"]["template"]["spec"]
        folder = self.folder / service["name"]
        keys = folder / "keys"
        keys.mkdir(parents=True, exist_ok=True)
        secret = next(volume["secret"] for volume in spec["volumes"] if volume["name"] == "keys")
        for item in secret["items"]:
            shutil.copy(self.folder / "keys" / item["key"], keys / item["path"])
        keys.chmod(0o555)
        text = maps[name]["data"]["probity.toml"]
        text = re.sub(r"probity-[a-z-]+\.probity\.svc\.cluster\.local:(\d+)", lambda m: f"127.0.0.1:{int(m[1]) + SHIFT}", text)
        text = re.sub(r"0\.0\.0\.0:(\d+)", lambda m: f"127.0.0.1:{int(m[1]) + SHIFT}", text)
        text = text.replace("/run/probity/keys", str(keys)).replace("/var/lib/probity", str(folder / "data"))
        (folder / "probity.toml").write_text(text)
        environment = {"PATH": os.environ["PATH"], "PROBITY_CONFIG": str(folder / "probity.toml")}
        for variable in spec["containers"][0]["env"]:
            if variable["name"].endswith("__DATABASE__URL"):
                environment[variable["name"]] = self.postgres.url
            elif variable["name"].startswith("PROBITY_ORCHESTRATOR__"):
                environment["PROBITY_ORCHESTRATOR__REPLICA"] = "probity-orchestrator-0"
                environment["PROBITY_ORCHESTRATOR__ADVERTISE"] = f"http://127.0.0.1:{8081 + SHIFT}"
            elif "value" in variable and variable["name"] != "PROBITY_CONFIG":
                environment[variable["name"]] = variable["value"]
        log = open(folder / "log", "ab")
        self.processes[service["name"]] = subprocess.Popen(
            [self.binaries / name], env=environment, stdout=log, stderr=log, cwd=folder)

    def ready(self, service, within=60):
        until = time.monotonic() + within
        url = f"http://127.0.0.1:{service['adminPort'] + SHIFT}/readyz"
        while time.monotonic() < until:
            if self.processes[service["name"]].poll() is not None:
                break
            try:
                with urllib.request.urlopen(url, timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        log = (self.folder / service["name"] / "log").read_text()[-2000:]
        raise SystemExit(f"{service['name']} is not ready after {within} s; the end of its log:\n{log}")

    def cli(self, *arguments, **options):
        command = [self.binaries / "probity", *arguments, "--server", self.gateway, "--token-file", self.token]
        return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, **options).stdout
