#!/usr/bin/env python3
"""Generates the Python stubs of the contracts into clients/python/gen.

    python3 -m venv .venv && .venv/bin/pip install -r clients/python/requirements.txt
    .venv/bin/python clients/python/generate.py [FOLDER]

The stubs are not kept in the repository, so that they cannot fall behind the
contracts. Messages come as probity.<service>.v1.<file>_pb2, with type hints
beside them, clients as …_pb2_grpc.
"""

import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
CONTRACTS = HERE.parent.parent / "proto"


def main() -> int:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "gen"
    out.mkdir(parents=True, exist_ok=True)
    # google/api comes from googleapis-common-protos, google/protobuf with the tool
    files = sorted(str(path) for path in (CONTRACTS / "probity").rglob("*.proto"))
    well_known = resources.files("grpc_tools") / "_proto"
    folders = [f"-I{CONTRACTS}", f"-I{well_known}"]
    outputs = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    code = protoc.main(["protoc", *folders, *outputs, *files])
    if code == 0:
        print(f"{len(files)} contracts in {out}")
    return code


if __name__ == "__main__":
    sys.exit(main())
