//! The intake binary.

fn main() -> std::process::ExitCode {
    probity_runtime::App::main::<probity_intake::Intake>()
}
