#!/usr/bin/env python3
"""Looks whether compose.yaml has every service of edges.toml with its ports and peers, and starts nothing too early."""
import pathlib
import sys
import tomllib

import yaml

root = pathlib.Path(__file__).resolve().parents[2]
services = yaml.safe_load((root / "deploy/helm/probity/files/platform.yaml").read_text())["services"]
compose = yaml.safe_load((root / "deploy/compose/compose.yaml").read_text())["services"]
config = tomllib.loads((root / "deploy/compose/probity.toml").read_text())
found = []


def must(holds, what):
    if not holds:
        found.append(what)


for service in services:
    name, section = service["name"], service["section"]
    must(name in compose, f"compose.yaml has no service {name}")
    here = compose.get(name, {})
    environment = here.get("environment", {})
    must(environment.get("PROBITY_HOST__ADMIN_LISTEN") == f"0.0.0.0:{service['adminPort']}", f"{name}: admin port")
    must(here.get("build", {}).get("args", {}).get("SERVICE") == name, f"{name}: builds another service")
    must(config["peers"].get(name) == f"http://{name}:{service['port']}", f"probity.toml: peers.{name}")
    own = config.get(section, {})
    must(own.get("server", {}).get("listen") == f"0.0.0.0:{service['port']}", f"probity.toml: {section}.server.listen")
    must(("database" in own) == service["store"], f"probity.toml: {section}.database")
    for key in ("read_only", "user", "cap_drop", "healthcheck", "mem_limit"):
        must(key in here, f"{name}: no {key}")
for name, here in compose.items():
    for other in here.get("depends_on", {}):
        must(other in compose, f"{name} waits for {other}, which is not there")
        healthy = here["depends_on"][other]["condition"] == "service_healthy"
        must(not healthy or "healthcheck" in compose[other], f"{name} waits for the health of {other}, which has none")
for what in found:
    print(what)
print(f"   {len(services)} services of {len(compose)} containers")
sys.exit(1 if found else 0)
