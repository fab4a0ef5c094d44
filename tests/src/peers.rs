//! Other people's programs that ours is measured beside, installed once into a
//! cache folder outside the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Installs what a `package.json` names, with these files beside it; answers the
/// folder. Installs again only when the `package.json` is another.
///
/// # Errors
/// Says what is missing: npm, or its registry.
pub fn node(name: &str, package: &str, files: &[(&str, &str)]) -> Result<PathBuf, String> {
    let home = folder(name)?;
    let installed = std::fs::read_to_string(home.join("package.json")).is_ok_and(|text| text == package)
        && home.join("node_modules").is_dir();
    put(&home, files)?;
    if !installed {
        put(&home, &[("package.json", package)])?;
        run(Command::new("npm").args(["install", "--no-audit", "--no-fund", "--silent"]).current_dir(&home))?;
    }
    Ok(home)
}

/// Builds a Go program from its files; answers the program.
///
/// # Errors
/// Says what is missing: Go, or its module proxy.
pub fn go(name: &str, files: &[(&str, &str)]) -> Result<PathBuf, String> {
    let home = folder(name)?;
    put(&home, files)?;
    run(Command::new("go").args(["mod", "tidy"]).current_dir(&home))?;
    let program = home.join(name);
    run(Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(&home))?;
    Ok(program)
}

/// Installs a Go program by its package and version, such as
/// `example.org/tool/cmd/tool@v1.2.3`; answers the program. What is there already is
/// taken.
///
/// # Errors
/// Says what is missing: Go, or its module proxy.
pub fn go_tool(package: &str) -> Result<PathBuf, String> {
    let (path, version) = package.split_once('@').ok_or_else(|| format!("{package} has no version"))?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let home = folder(&format!("{}-{version}", path.replace('/', "-")))?;
    let program = home.join(name);
    if !program.is_file() {
        run(Command::new(go_program()).args(["install", package]).env("GOBIN", &home))?;
    }
    Ok(program)
}

/// Go, where it usually is when it is not in the path.
fn go_program() -> &'static str {
    let usual = "/usr/local/go/bin/go";
    if Path::new(usual).is_file() { usual } else { "go" }
}

/// A folder of the cache, outside the repository, that is kept between runs. It may
/// not be there yet.
#[must_use]
pub fn cache(name: &str) -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("probity").join(name)
}

fn folder(name: &str) -> Result<PathBuf, String> {
    let home = cache(name);
    std::fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    Ok(home)
}

fn put(home: &Path, files: &[(&str, &str)]) -> Result<(), String> {
    files.iter().try_for_each(|(name, text)| {
        let path = home.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    })
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    let status = command.status().map_err(|error| format!("{program} cannot be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}
