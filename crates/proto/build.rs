//! Compiles the contracts: protobuf → Rust, and the descriptor set with every
//! option and comment in it (reflection, transcoding and the documentation are
//! made from that same set).

use protox::prost::Message as _;
use protox::prost_reflect::{DescriptorPool, DynamicMessage, Value};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn protos(dir: &Path, out: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            protos(&path, out)?;
        } else if path.extension().is_some_and(|ext| ext == "proto") {
            out.push(path);
        }
    }
    Ok(())
}

/// A descriptor set whose places in the sources are those that have a comment: the others
/// are half of the set, are held by every process several times, and nobody asks for them.
fn with_comments_alone(set: &[u8], pool: &DescriptorPool) -> Result<Vec<u8>, Box<dyn Error>> {
    let set_type = pool.get_message_by_name("google.protobuf.FileDescriptorSet");
    let mut set = DynamicMessage::decode(set_type.ok_or("no contract imports descriptor.proto")?, set)?;
    let files = set.get_field_by_name_mut("file").and_then(Value::as_list_mut).into_iter().flatten();
    for file in files.filter_map(Value::as_message_mut) {
        let source = file.get_field_by_name_mut("source_code_info").and_then(Value::as_message_mut);
        let places = source.and_then(|source| source.get_field_by_name_mut("location"));
        if let Some(places) = places.and_then(Value::as_list_mut) {
            places.retain(|place| place.as_message().is_some_and(has_comment));
        }
    }
    Ok(set.encode_to_vec())
}

fn has_comment(place: &DynamicMessage) -> bool {
    let comments = ["leading_comments", "trailing_comments", "leading_detached_comments"];
    comments.iter().any(|comment| place.has_field_by_name(comment))
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    protos(root, &mut files)?;
    files.sort();
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let pool = compiler.descriptor_pool();
    let set = with_comments_alone(&compiler.encode_file_descriptor_set(), &pool)?;
    fs::write(out.join("descriptors.bin"), set)?;
    tonic_prost_build::configure()
        .bytes(".")
        // In one order, so that a message is the same bytes whenever it is encoded.
        .btree_map(".")
        .include_file("protos.rs")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
