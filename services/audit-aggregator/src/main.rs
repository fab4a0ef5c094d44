//! The audit-aggregator binary.

fn main() -> std::process::ExitCode {
    probity_runtime::App::main::<probity_audit_aggregator::AuditAggregator>()
}
