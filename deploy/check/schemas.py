#!/usr/bin/env python3
"""JSON schemas for kubeconform, strict, made from an OpenAPI document of Kubernetes and from CustomResourceDefinitions.

    schemas.py OUT SWAGGER.json [CRD.yaml or folder ...]

kubeconform's own come from the network, and without the kinds of Istio, the Gateway API and the Prometheus operator.
"""
import json
import pathlib
import sys

import yaml

# A lone `=` is text here, not YAML 1.1's default value.
yaml.SafeLoader.add_constructor("tag:yaml.org,2002:value", yaml.SafeLoader.construct_yaml_str)

WANTED = {
    "ConfigMap", "CronJob", "DaemonSet", "Deployment", "HorizontalPodAutoscaler", "Ingress", "Job", "Namespace",
    "NetworkPolicy", "PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "PriorityClass", "Secret", "Service",
    "ServiceAccount", "StatefulSet",
}


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rsplit("/", 1)[1]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def strict(node):
    """Unknown fields are refused wherever the fields are known."""
    if isinstance(node, dict):
        open_ended = node.get("x-kubernetes-preserve-unknown-fields")
        if isinstance(node.get("properties"), dict) and "additionalProperties" not in node and not open_ended:
            node["additionalProperties"] = False
        if node.get("x-kubernetes-int-or-string") or node.get("format") == "int-or-string":
            node.pop("type", None)
            node["anyOf"] = [{"type": "integer"}, {"type": "string"}]
        for value in node.values():
            strict(value)
    elif isinstance(node, list):
        for value in node:
            strict(value)
    return node


def kubernetes(out, swagger):
    definitions = json.loads(pathlib.Path(swagger).read_text())["definitions"]
    quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity"
    definitions[quantity] = {"anyOf": [{"type": "string"}, {"type": "number"}]}
    count = 0
    for name, definition in definitions.items():
        for of in definition.get("x-kubernetes-group-version-kind", []):
            if of["kind"] not in WANTED:
                continue
            needed, waiting = {}, [name]
            while waiting:
                at = waiting.pop()
                if at not in needed:
                    needed[at] = definitions[at]
                    waiting.extend(references(definitions[at]))
            schema = strict(json.loads(json.dumps({"$ref": f"#/definitions/{name}", "definitions": needed})))
            group = of["group"].split(".")[0]
            suffix = "-".join(part for part in (group, of["version"]) if part)
            (out / f"{of['kind'].lower()}-{suffix}.json").write_text(json.dumps(schema))
            count += 1
    return count


def custom(out, path):
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    count = 0
    for file in files:
        for document in yaml.safe_load_all(file.read_text()):
            if not document or document.get("kind") != "CustomResourceDefinition":
                continue
            spec = document["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema.setdefault("properties", {}).update(
                    apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"})
                group = spec["group"].split(".")[0]
                name = f"{spec['names']['kind'].lower()}-{group}-{version['name']}.json"
                (out / name).write_text(json.dumps(schema))
                count += 1
    return count


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    count = kubernetes(out, sys.argv[2])
    for path in sys.argv[3:]:
        count += custom(out, pathlib.Path(path))
    print(f"{count} schemas in {out}")


main()
