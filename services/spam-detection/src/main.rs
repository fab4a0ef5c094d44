//! The spam-detection binary.

fn main() -> std::process::ExitCode {
    probity_runtime::App::main::<probity_spam_detection::SpamDetection>()
}
