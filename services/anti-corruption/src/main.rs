//! The anti-corruption binary.

fn main() -> std::process::ExitCode {
    probity_runtime::App::main::<probity_anti_corruption::AntiCorruption>()
}
