//! The viewers of the documentation site: whether the files in the gateway's
//! assets are those of the npm packages they are said to be of.

use crate::Problem;
use anyhow::{Context as _, Result, ensure};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

const FOLDER: &str = "services/gateway/assets";

/// A file of a package, and the asset it is.
struct Asset {
    package: &'static str,
    version: &'static str,
    file: &'static str,
    asset: &'static str,
    /// What is replaced in it, and by what.
    replaced: Option<(&'static str, &'static str)>,
}

const ASSETS: [Asset; 3] = [
    Asset {
        package: "swagger-ui-dist",
        version: "5.35.0",
        file: "swagger-ui-bundle.js",
        asset: "swagger-ui-bundle.js.gz",
        replaced: None,
    },
    Asset {
        package: "swagger-ui-dist",
        version: "5.35.0",
        file: "swagger-ui.css",
        asset: "swagger-ui.css.gz",
        replaced: None,
    },
    Asset {
        package: "redoc",
        version: "2.5.4",
        file: "bundles/redoc.standalone.js",
        asset: "redoc.standalone.js.gz",
        replaced: Some(("https://cdn.redoc.ly/redoc/logo-mini.svg", "data:,")),
    },
];

/// Compares the assets with the packages, or makes them of them.
///
/// # Errors
/// When npm, tar or gzip cannot do their part.
pub fn run(root: &Path, write: bool) -> Result<Vec<Problem>> {
    let dir = tempfile::tempdir()?;
    let mut found = Vec::new();
    for asset in &ASSETS {
        let published = asset.published(dir.path())?;
        let path = root.join(FOLDER).join(asset.asset);
        if write {
            asset.write(&published, dir.path(), &path)?;
        } else if output(Command::new("gzip").arg("-dc").arg(&path))? != published {
            let what = format!("is not {} of {} {}", asset.file, asset.package, asset.version);
            let fix = "run `cargo run -p xtask -- site --write` and look at what has changed";
            found.push(Problem::new(Path::new(FOLDER).join(asset.asset), what, fix));
        }
    }
    Ok(found)
}

impl Asset {
    /// The file as npm has it, with what is replaced in it.
    fn published(&self, dir: &Path) -> Result<Vec<u8>> {
        let package = format!("{}@{}", self.package, self.version);
        let name = output(Command::new("npm").args(["pack", "--silent", &package]).current_dir(dir))?;
        let name = String::from_utf8(name)?;
        let folder = dir.join(self.package);
        std::fs::create_dir_all(&folder)?;
        output(Command::new("tar").arg("xzf").arg(name.trim()).arg("-C").arg(&folder).current_dir(dir))?;
        let file = folder.join("package").join(self.file);
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("{package} has no {}", self.file))?;
        Ok(match self.replaced {
            Some((from, to)) => text.replace(from, to).into_bytes(),
            None => text.into_bytes(),
        })
    }

    fn write(&self, bytes: &[u8], dir: &Path, path: &Path) -> Result<()> {
        let plain = dir.join("plain");
        std::fs::write(&plain, bytes)?;
        let mut gzip = Command::new("gzip");
        gzip.arg("-9nc").stdin(File::open(&plain)?).stdout(Stdio::piped());
        std::fs::write(path, output(&mut gzip)?)?;
        Ok(())
    }
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
