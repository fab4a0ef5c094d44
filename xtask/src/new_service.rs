//! Makes a new service: crate, contract, tests, pages and its place in the table.
//!
//! What comes out compiles, passes its tests and every check, so a newcomer
//! begins with something that works and changes it piece by piece. The example
//! shows each pattern once: limits, idempotency key, audit event, tenant.

mod insert;

use crate::edges::{self, Edges};
use crate::{errors, metrics_doc, tree};
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Command;

/// The service to make.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Its name: lowercase words joined by hyphens, such as `case-notes`.
    name: String,
    /// The prefix of its error codes, three capital letters; from the name when absent.
    #[arg(long)]
    errors: Option<String>,
    /// What it is for, in a sentence.
    #[arg(long, default_value = "Keeps items: say here what the service is for.")]
    summary: String,
}

/// Everything a template can name.
struct Names {
    name: String,
    summary: String,
    prefix: String,
    port: u16,
    admin_port: u16,
}

const FILES: [(&str, &str); 14] = [
    ("proto/probity/{{package}}/v1/{{package}}.proto", include_str!("new_service/templates/proto.tmpl")),
    ("services/{{name}}/Cargo.toml", include_str!("new_service/templates/Cargo.toml.tmpl")),
    ("services/{{name}}/README.md", include_str!("new_service/templates/README.md.tmpl")),
    ("services/{{name}}/migrations/0001_items.sql", include_str!("new_service/templates/migration.sql.tmpl")),
    ("services/{{name}}/src/main.rs", include_str!("new_service/templates/main.rs.tmpl")),
    ("services/{{name}}/src/lib.rs", include_str!("new_service/templates/lib.rs.tmpl")),
    ("services/{{name}}/src/config.rs", include_str!("new_service/templates/config.rs.tmpl")),
    ("services/{{name}}/src/api.rs", include_str!("new_service/templates/api.rs.tmpl")),
    ("services/{{name}}/src/convert.rs", include_str!("new_service/templates/convert.rs.tmpl")),
    ("services/{{name}}/src/domain.rs", include_str!("new_service/templates/domain.rs.tmpl")),
    ("services/{{name}}/src/store.rs", include_str!("new_service/templates/store.rs.tmpl")),
    ("services/{{name}}/src/error.rs", include_str!("new_service/templates/error.rs.tmpl")),
    ("services/{{name}}/src/metrics.rs", include_str!("new_service/templates/metrics.rs.tmpl")),
    ("services/{{name}}/tests/contract.rs", include_str!("new_service/templates/contract.rs.tmpl")),
];

const PAGE: &str = include_str!("new_service/templates/error_page.md.tmpl");

/// Title, what happened, what the caller and what the operator can do.
const PAGES: [[&str; 4]; 3] = [
    [
        "a field cannot be used",
        "A field of the request breaks a limit. The message and the field violations say which one and why.",
        "Mend the field and send the request again.",
        "Nothing, unless a limit of the configuration is too narrow.",
    ],
    [
        "no such item",
        "There is no item of that name, or it belongs to another tenant; the two are answered alike.",
        "Check the name and with which tenant you are signed in.",
        "Nothing.",
    ],
    [
        "a stored answer cannot be read",
        "The answer kept for an idempotency key is damaged.",
        "Send the request with a new idempotency key, once you know that it had no effect.",
        "Check the store for damage and restore it from a backup.",
    ],
];

/// Makes the service.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let edges = edges::read(root)?;
    let names = Names::new(&edges, options)?;
    let folder = format!("services/{}", names.name);
    ensure!(!root.join(&folder).exists(), "{folder} is there already");
    for (path, template) in FILES {
        tree::write(root, names.fill(path), &names.fill(template))?;
    }
    for (at, page) in (1..).zip(PAGES) {
        let code = format!("{}-{at:04}", names.prefix);
        tree::write(root, format!("{}/{code}.md", errors::PAGES), &error_page(&code, page))?;
    }
    insert::everything(root, &names)?;
    metrics_doc::write(root)?;
    format(root, &names)?;
    println!("{folder} is made. Next:");
    println!("  cargo test -p probity-{}", names.name);
    println!(
        "  replace the example in proto/probity/{0}/v1/{0}.proto and the files of {folder}",
        names.package()
    );
    println!("  add it to services/probity, so that the platform in one process has it too");
    Ok(())
}

/// Where lines break and how names sort depends on the name.
fn format(root: &Path, names: &Names) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let package = names.fill("probity-{{name}}");
    let status = Command::new(cargo).args(["fmt", "-p", &package]).current_dir(root).status();
    ensure!(
        status.is_ok_and(|status| status.success()),
        "cargo fmt -p {package} failed; is rustfmt installed?"
    );
    Ok(())
}

fn error_page(code: &str, [title, what, caller, operator]: [&str; 4]) -> String {
    let pairs =
        [("code", code), ("title", title), ("what", what), ("caller", caller), ("operator", operator)];
    pairs.iter().fold(PAGE.to_owned(), |text, (key, value)| text.replace(&format!("{{{{{key}}}}}"), value))
}

impl Names {
    fn new(edges: &Edges, options: &Options) -> Result<Self> {
        let name = options.name.clone();
        let word = |word: &str| word.starts_with(|c: char| c.is_ascii_lowercase());
        let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        ensure!(
            letters && name.len() <= 32 && name.split('-').all(word),
            "{name:?} is no name: lowercase words joined by hyphens, such as case-notes"
        );
        let derived = || name.replace('-', "").to_ascii_uppercase().chars().take(3).collect();
        let prefix: String = options.errors.clone().unwrap_or_else(derived);
        let capitals = prefix.len() == 3 && prefix.bytes().all(|b| b.is_ascii_uppercase());
        ensure!(capitals, "{prefix:?} is no prefix: give three capital letters with --errors");
        let taken =
            errors::SHARED.contains(&prefix.as_str()) || edges.services.iter().any(|s| s.errors == prefix);
        ensure!(!taken, "the prefix {prefix} is taken: give another one with --errors");
        let (port, admin_port) = free_ports(edges);
        Ok(Self { name, summary: options.summary.clone(), prefix, port, admin_port })
    }

    /// The last part of the protobuf package.
    fn package(&self) -> String {
        self.name.replace('-', "")
    }

    fn fill(&self, template: &str) -> String {
        let pairs = [
            ("{{name}}", self.name.clone()),
            ("{{snake}}", self.name.replace('-', "_")),
            ("{{Type}}", self.name.split('-').map(capitalised).collect()),
            ("{{package}}", self.package()),
            ("{{summary}}", self.summary.clone()),
            ("{{ERR}}", self.prefix.clone()),
            ("{{port}}", self.port.to_string()),
            ("{{admin_port}}", self.admin_port.to_string()),
        ];
        pairs.iter().fold(template.to_owned(), |text, (key, value)| text.replace(key, value))
    }
}

fn free_ports(edges: &Edges) -> (u16, u16) {
    let next = |ports: &mut dyn Iterator<Item = u16>, first: u16| ports.max().map_or(first, |port| port + 1);
    let port = next(&mut edges.services.iter().map(|s| s.port), 8080);
    (port, next(&mut edges.services.iter().map(|s| s.admin_port), 9080))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests;
