//! The comments of the contracts, by what they stand before.

use prost_reflect::DescriptorPool;
use std::collections::HashMap;

/// Comments by file and path within it.
pub(super) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub(super) fn of(pool: &DescriptorPool) -> Self {
        let mut all = HashMap::new();
        for file in pool.files() {
            let info = file.file_descriptor_proto().source_code_info.as_ref();
            for location in info.map(|info| info.location.as_slice()).unwrap_or_default() {
                if let Some(text) = location.leading_comments.as_deref() {
                    all.insert((file.name().to_owned(), location.path.clone()), clean(text));
                }
            }
        }
        Self(all)
    }

    /// The comment before an element; empty where there is none.
    pub(super) fn at(&self, file: &str, path: &[i32]) -> &str {
        self.0.get(&(file.to_owned(), path.to_vec())).map_or("", String::as_str)
    }
}

/// Without the blank that follows the slashes.
fn clean(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n").trim().to_owned()
}

/// The first sentence on one line, without its full stop.
pub(super) fn summary(text: &str) -> String {
    let line = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let end = line.find(". ").or_else(|| line.find(": ")).unwrap_or(line.len());
    line[..end].trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_is_the_summary() {
        let check = |text: &str, expect: &str| assert_eq!(summary(&clean(text)), expect);
        check(" Opens a case. What is\n answered is on disk.\n", "Opens a case");
        check(" Streams what\n happens\n", "Streams what happens");
        check("", "");
    }

    #[test]
    fn methods_have_comments() {
        let pool = probity_proto::pool();
        let comments = Comments::of(pool);
        let service = pool.get_service_by_name("probity.gateway.v1.GatewayService").expect("service");
        let method = service.methods().next().expect("a method");
        let text = comments.at(service.parent_file().name(), method.path());
        assert_eq!(text, "Tells the version and the services of this platform.");
    }
}
