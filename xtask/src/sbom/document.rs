//! CycloneDX 1.6 in JSON: <https://cyclonedx.org/docs/1.6/json/>.

use super::graph::{Crate, Parts};
use super::libraries::{self, Library};
use anyhow::Result;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// What a file says.
#[derive(Debug)]
pub(super) struct Document<'a> {
    /// The program and its crates.
    pub(super) parts: &'a Parts,
    /// The libraries beside it.
    pub(super) libraries: &'a [Library],
    /// When its sources were committed, RFC 3339.
    pub(super) time: Option<&'a str>,
}

impl Document<'_> {
    /// The file; the same for the same content.
    pub(super) fn json(&self) -> Result<String> {
        let mut document = self.content();
        let serial = serial(&serde_json::to_vec(&document)?);
        document.insert("serialNumber".into(), json!(serial));
        Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
    }

    fn content(&self) -> Map<String, Value> {
        let mut program = component(&self.parts.program);
        program.insert("type".into(), json!("application"));
        let version = env!("CARGO_PKG_VERSION");
        let mut metadata = Map::from_iter([
            ("component".to_owned(), Value::from(program)),
            (
                "tools".to_owned(),
                json!({"components": [{"type": "application", "name": "xtask", "version": version}]}),
            ),
        ]);
        if let Some(time) = self.time {
            metadata.insert("timestamp".into(), json!(time));
        }
        Map::from_iter([
            ("$schema".to_owned(), json!("http://cyclonedx.org/schema/bom-1.6.schema.json")),
            ("bomFormat".to_owned(), json!("CycloneDX")),
            ("specVersion".to_owned(), json!("1.6")),
            ("version".to_owned(), json!(1)),
            ("metadata".to_owned(), Value::from(metadata)),
            ("components".to_owned(), Value::from(self.components())),
            ("dependencies".to_owned(), Value::from(self.dependencies())),
        ])
    }

    fn components(&self) -> Vec<Value> {
        let crates = self.parts.crates.iter().map(|(found, linked)| {
            let mut component = component(found);
            component.insert("scope".into(), json!(if *linked { "required" } else { "excluded" }));
            Value::from(component)
        });
        crates.chain(self.libraries.iter().map(library)).collect()
    }

    /// The program needs the libraries too, besides its crates.
    fn dependencies(&self) -> Vec<Value> {
        let program = self.parts.program.purl();
        let edges = self.parts.edges.iter().map(|(purl, needs)| {
            let libraries = self.libraries.iter().map(|library| &library.path).filter(|_| *purl == program);
            let needs: Vec<_> = needs.iter().chain(libraries).collect();
            json!({"ref": purl, "dependsOn": needs})
        });
        edges.chain(self.libraries.iter().map(|library| json!({"ref": library.path}))).collect()
    }
}

fn component(of: &Crate) -> Map<String, Value> {
    let purl = of.purl();
    let mut component = Map::from_iter([
        ("type".to_owned(), json!("library")),
        ("bom-ref".to_owned(), json!(purl)),
        ("name".to_owned(), json!(of.name)),
        ("version".to_owned(), json!(of.version)),
        ("purl".to_owned(), json!(purl)),
    ]);
    if let Some(description) = &of.description {
        component.insert("description".into(), json!(description));
    }
    if let Some(license) = &of.license {
        component.insert("licenses".into(), json!([{"expression": license}]));
    }
    if let Some(sum) = &of.checksum {
        component.insert("hashes".into(), json!([{"alg": "SHA-256", "content": sum}]));
    }
    if let Some(url) = &of.repository {
        component.insert("externalReferences".into(), json!([{"type": "vcs", "url": url}]));
    }
    component
}

fn library(library: &Library) -> Value {
    let mut component = Map::from_iter([
        ("type".to_owned(), json!("library")),
        ("bom-ref".to_owned(), json!(library.path)),
        ("scope".to_owned(), json!("required")),
        ("hashes".to_owned(), json!([{"alg": "SHA-256", "content": library.sha256}])),
    ]);
    let name = if let Some([name, version, architecture]) = &library.package {
        let purl = format!("pkg:deb/debian/{name}@{}?arch={architecture}", version.replace('+', "%2B"));
        component.insert("version".into(), json!(version));
        component.insert("purl".into(), json!(purl));
        component.insert("properties".into(), json!([{"name": "probity:path", "value": library.path}]));
        name
    } else {
        &library.path
    };
    component.insert("name".into(), json!(name));
    Value::from(component)
}

/// A UUID of version 8 (RFC 9562) from the hash of the content.
fn serial(content: &[u8]) -> String {
    let mut bytes = Sha256::digest(content).to_vec();
    bytes.truncate(16);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = libraries::hex(&bytes);
    let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    format!("urn:uuid:{}", groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::super::graph;
    use super::*;
    use crate::tree;

    fn gateway(libraries: &[Library], time: &str) -> Value {
        let graph = graph::Graph::read(&tree::built_from(), "x86_64-unknown-linux-gnu").unwrap();
        let parts = graph.parts_of("probity-gateway").unwrap();
        let document = Document { parts: &parts, libraries, time: Some(time) };
        assert_eq!(document.json().unwrap(), document.json().unwrap());
        serde_json::from_str(&document.json().unwrap()).unwrap()
    }

    #[test]
    fn the_gateway_is_made_of_tonic_and_not_of_tempfile() {
        let library = Library {
            path: "/lib/libc.so.6".into(),
            sha256: "00".repeat(32),
            package: Some(["libc6".into(), "2.36-9+deb12u1".into(), "amd64".into()]),
        };
        let document = gateway(&[library], "2026-01-02T03:04:05Z");
        let components = document["components"].as_array().unwrap();
        let scope = |name: &str| {
            let found = components.iter().find(|component| component["name"] == name);
            found.map(|component| component["scope"].as_str().unwrap())
        };
        assert_eq!(scope("tonic"), Some("required"));
        assert_eq!(scope("tonic-prost-build"), Some("excluded"));
        assert_eq!(scope("proptest"), None);
        assert_eq!(scope("libc6"), Some("required"));
        let text = document.to_string();
        assert!(text.contains("pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64"), "{text}");
        let sums = components.iter().filter(|component| !component["hashes"].is_null()).count();
        let own = components.iter().filter(|c| c["name"].as_str().unwrap().starts_with("probity-")).count();
        assert_eq!(sums + own, components.len(), "every crate that is not ours has a checksum");
    }

    #[test]
    fn another_content_has_another_serial_number() {
        let [one, other] = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"].map(|time| gateway(&[], time));
        assert_ne!(one["serialNumber"], other["serialNumber"]);
        let serial = one["serialNumber"].as_str().unwrap();
        assert_eq!((serial.len(), &serial[23..24]), (45, "8"), "{serial}");
    }
}
