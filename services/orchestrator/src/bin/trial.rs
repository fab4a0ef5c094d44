//! The orchestrator as it is tried: it can be killed at every failpoint, and told
//! to do damage that the checker must find.

fn main() -> std::process::ExitCode {
    probity_runtime::App::main::<probity_orchestrator::Orchestrator>()
}
