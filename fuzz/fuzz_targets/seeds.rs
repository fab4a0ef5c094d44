//! Writes what each target begins with: its seeds and the words its inputs are made
//! of. `seeds FOLDER` makes `FOLDER/<target>/` and `FOLDER/<target>.dict`.

use probity_fuzz::fuzz::TARGETS;
use std::fmt::Write as _;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "corpus".to_owned());
    for target in &TARGETS {
        let corpus = Path::new(&folder).join(target.name);
        std::fs::create_dir_all(&corpus)?;
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{number}")), seed)?;
        }
        let mut dictionary = String::new();
        for word in target.words.iter().filter(|word| !word.is_empty()) {
            let bytes: String = word.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
            // Writing to a string does not fail.
            let _ = writeln!(dictionary, "\"{bytes}\"");
        }
        std::fs::write(Path::new(&folder).join(format!("{}.dict", target.name)), dictionary)?;
    }
    Ok(())
}
