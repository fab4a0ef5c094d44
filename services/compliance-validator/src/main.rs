//! The compliance-validator binary.

fn main() -> std::process::ExitCode {
    probity_runtime::App::main::<probity_compliance_validator::ComplianceValidator>()
}
