#!/usr/bin/env python3
"""Runs compose.yaml as containers: docker-compose on the API of podman, images made from programs of this machine.

    containers.py BINARIES [FOLDER]

Every service of ours, PostgreSQL, Redis, Jaeger, Prometheus and Alertmanager; without Grafana, OpenSearch, its dashboards and
Fluent Bit, of which there is no program here, so the lines of the services go to podman. Nobody may start before what it
waits for is healthy. Cases are opened through the gateway and decided; the doors of the other services let nobody in
without a certificate of the platform; Prometheus sees every service, Jaeger their spans. podman has its probes run by
systemd; here a loop runs them. Needs podman, buildah, netavark, aardvark-dns, runc, docker-compose, busybox, openssl,
jaeger, prometheus, alertmanager, redis-server and PostgreSQL, as root.
"""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import yaml

import processes

WITHOUT = {"grafana", "opensearch", "opensearch-dashboards", "logs-setup", "logs"}
# What an image's own entrypoint is, for those that are made here.
PROGRAMS = {"jaeger": ["jaeger"], "prometheus": ["prometheus"], "alertmanager": ["alertmanager", "prometheus-alertmanager"]}


class Containers:
    def __init__(self, folder, binaries):
        self.folder, self.binaries = folder, binaries
        self.compose = yaml.safe_load((processes.ROOT / "deploy/compose/compose.yaml").read_text())
        (folder / "containers.conf").write_text(
            '[containers]\nlog_driver = "k8s-file"\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n[network]\nnetwork_backend = "netavark"\n'
            f'network_config_dir = "{folder}/networks"\n')
        (folder / "storage.conf").write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n')
        self.socket = f"unix://{folder}/podman.sock"
        self.environment = os.environ | {
            "CONTAINERS_CONF": str(folder / "containers.conf"), "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "DISABLE_HC_SYSTEMD": "true", "DOCKER_HOST": self.socket, "COMPOSE_HTTP_TIMEOUT": "300", "BUILDAH_ISOLATION": "chroot"}
        self.healthy, self.over = {}, threading.Event()

    def run(self, *command, text=None, check=True):
        done = subprocess.run([str(part) for part in command], env=self.environment, input=text, capture_output=True, text=True, cwd=processes.ROOT)
        if check and done.returncode:
            raise SystemExit(f"{' '.join(map(str, command[:4]))}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done.stdout.strip()

    def build(self, context, tag, dockerfile, *arguments):
        self.run("buildah", "bud", "--quiet", "--tag", tag, *arguments, "-f", dockerfile, context)

    def images(self):
        roots, empty = self.folder / "roots", self.folder / "empty"
        empty.mkdir()
        self.run("deploy/docker/roots", self.binaries, roots / "out")
        (self.folder / "Roots").write_text("FROM scratch\nCOPY out /out\n")
        self.build(roots, "localhost/probity-roots", self.folder / "Roots")
        for service in processes.services():
            self.build(empty, f"docker.io/library/{self.compose['services'][service['name']]['image']}:latest", "deploy/docker/Dockerfile",
                       "--build-arg", "ROOTS=localhost/probity-roots", "--build-arg", f"SERVICE={service['name']}")
        shutil.rmtree(roots)
        self.run("deploy/check/stores", self.folder / "stores")
        for name, tar in (("postgres", "postgresql"), ("redis", "redis")):
            self.run("podman", "load", "--quiet", "--input", self.folder / f"stores/{tar}.tar")
            self.run("podman", "tag", f"localhost/probity-{tar}:check", self.compose["services"][name]["image"])
        for name, programs in PROGRAMS.items():
            root = self.folder / name
            program = next(filter(None, map(shutil.which, programs)))
            libraries = subprocess.run(["ldd", program], capture_output=True, text=True).stdout.split()
            for file in [program, *(word for word in libraries if word.startswith("/"))]:
                (root / file.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, root / file.lstrip("/"))
            for writable in ("tmp", name):
                (root / writable).mkdir()
                (root / writable).chmod(0o1777)
            (self.folder / "Other").write_text(f'FROM scratch\nCOPY . /\nWORKDIR /{name}\nUSER 65534:65534\nENTRYPOINT ["{program}"]\n')
            self.build(root, self.compose["services"][name]["image"], self.folder / "Other")
            shutil.rmtree(root)

    def render(self):
        """compose.yaml with the images there are, on free ports."""
        compose, self.ports = dict(self.compose), {}
        compose.pop("name")
        compose["version"] = "3.9"  # any of docker-compose 1.29 and later
        services = {name: dict(here) for name, here in compose["services"].items() if name not in WITHOUT}
        for name, here in services.items():
            for key in ("logging", "build"):
                here.pop(key, None)
            here["volumes"] = [str((processes.ROOT / "deploy/compose" / volume.split(":")[0]).resolve()) + volume[volume.index(":"):]
                               if volume.startswith(".") else volume for volume in here.get("volumes", [])]
            published = []
            for port in here.get("ports", []):
                self.ports[name] = processes.free_port()
                published.append(f"127.0.0.1:{self.ports[name]}:{port.rsplit(':', 1)[1]}")
            here["ports"] = published
            here["ulimits"] = {"nofile": {"soft": 1024, "hard": 20000}, "nproc": {"soft": 1000, "hard": 1000}}  # podman asks for more than this machine gives
        services["postgres"]["environment"] = services["postgres"]["environment"] | {"PGDATA": "/var/lib/postgresql/data/pgdata"}
        compose["services"] = services
        compose.pop("version")
        compose.pop("x-service")
        used = {volume.split(":")[0] for here in services.values() for volume in here["volumes"]}
        compose["volumes"] = {name: None for name in compose["volumes"] if name in used}
        self.services = services
        self.file = self.folder / "compose.yaml"
        self.file.write_text(yaml.safe_dump(compose))

    def docker_compose(self, *arguments, check=True):
        return self.run("docker-compose", "--project-name", "probity", "-f", self.file, *arguments, check=check)

    def name(self, service):
        return f"probity_{service}_1"

    def probe(self):
        """In place of systemd: runs the probe of each container that has one."""
        with_probe = [name for name, here in self.services.items() if "healthcheck" in here]
        while not self.over.wait(1):
            for service in with_probe:
                done = subprocess.run(["podman", "healthcheck", "run", self.name(service)], env=self.environment, capture_output=True)
                if done.returncode == 0:
                    self.healthy.setdefault(service, time.time())

    @contextlib.contextmanager
    def up(self):
        log = open(self.folder / "podman.log", "wb")
        service = subprocess.Popen(["podman", "system", "service", "--time", "0", self.socket], env=self.environment, stdout=log, stderr=log)
        probes = threading.Thread(target=self.probe)
        try:
            until = time.monotonic() + 20
            while not (self.folder / "podman.sock").exists() and time.monotonic() < until:
                time.sleep(0.1)
            probes.start()
            self.docker_compose("up", "--detach", "--no-build")
            yield
        finally:
            self.over.set()
            for name in self.services:
                text = subprocess.run(["podman", "logs", self.name(name)], env=self.environment, capture_output=True, text=True)
                (self.folder / f"{name}.log").write_text(text.stdout + text.stderr)
            self.docker_compose("down", "--volumes", "--timeout", "40", check=False)
            probes.join()
            service.terminate()
            service.wait(20)
            self.run("podman", "rm", "--all", "--force", check=False)
            self.run("podman", "rmi", "--all", "--force", check=False)

    def inspect(self, service, what):
        return self.run("podman", "inspect", self.name(service), "--format", what)


def order(containers, must):
    """Nobody began before what it waits for was healthy."""
    waits = 0
    for name, here in containers.services.items():
        begun = float(containers.inspect(name, "{{.State.StartedAt.Unix}}"))
        for other, condition in here.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                waits += 1
                must(containers.healthy.get(other, begun + 9e9) < begun + 2, f"{name} began before {other} was healthy")
    return waits


def doors(containers, must):
    """What the services say to a caller in plain text and to one without a certificate; how many were asked."""
    tried = 0
    for service in processes.services():
        if service["name"] == "gateway":
            continue
        tried += 1
        network = json.loads(containers.run("podman", "inspect", containers.name(service["name"])))[0]["NetworkSettings"]["Networks"]
        address = f"{next(iter(network.values()))['IPAddress']}:{service['port']}"
        try:
            urllib.request.urlopen(f"http://{address}/", timeout=5)
            must(False, f"{service['name']} answers in plain text")
        except (OSError, http.client.HTTPException):
            pass
        # The refusal comes after the handshake, with the first read.
        command = ["openssl", "s_client", "-connect", address, "-alpn", "h2", "-ign_eof"]
        alone = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=20)
        must("certificate required" in alone.stderr + alone.stdout, f"{service['name']} lets in who has no certificate: {alone.stdout[-300:]} {alone.stderr[-300:]}")
    return tried


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def wait(what, within, condition):
    until = time.monotonic() + within
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        if time.monotonic() > until:
            raise SystemExit(f"{what}: not within {within} s")
        time.sleep(0.5)


def main():
    with processes.trial("containers") as (binaries, folder, wrong):
        containers = Containers(folder.resolve(), binaries.resolve())

        def must(holds, what):
            if not holds:
                wrong.append(what)

        containers.images()
        containers.render()
        begun = time.monotonic()
        with containers.up():
            gateway = f"http://127.0.0.1:{containers.ports['gateway']}"
            wait("the gateway is healthy", 120, lambda: "gateway" in containers.healthy)
            print(f"   {len(containers.services)} containers up {time.monotonic() - begun:.0f} s after the images were there, {order(containers, must)} waits for health kept")
            token = folder / "token"
            containers.run("podman", "cp", f"{containers.name('gateway')}:/var/lib/probity/token", token)

            def probity(*arguments):
                return containers.run(binaries / "probity", *arguments, "--server", gateway, "--token-file", token)

            def settled():
                cases = [json.loads(line) for line in probity("case", "list", "--all", "--json").splitlines()]
                return len(cases) >= 16 and all("waiting" in case or case["state"] == "CASE_STATE_RESOLVED" for case in cases)

            probity("seed")
            wait("the cases are decided or wait for a person", 120, settled)
            print(f"   16 cases; {probity('audit', 'check').splitlines()[-1]}")
            print(f"   {doors(containers, must)} doors let nobody in without a certificate of the platform")
            prometheus = f"http://127.0.0.1:{containers.ports['prometheus']}/api/v1/query?" + urllib.parse.urlencode({"query": 'sum(up{job!="spans"})'})
            wait("Prometheus sees every service", 60, lambda: [one["value"][1] for one in fetch(prometheus)["data"]["result"]] == [str(len(processes.services()))])
            jaeger = f"http://127.0.0.1:{containers.ports['jaeger']}/api/services"
            wait("Jaeger has spans of the services", 60, lambda: len(set(fetch(jaeger)["data"] or []) & {s["name"] for s in processes.services()}) >= 6)
            print("   Prometheus sees every service, Jaeger has their spans")


main()
