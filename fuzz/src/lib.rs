//! What every target is: one of `probity_tests::fuzz`, fed by libFuzzer.

pub use libfuzzer_sys;
pub use probity_tests::fuzz;

use fuzz::Target;
use std::sync::LazyLock;

/// What the program `any` is fed as.
pub const CHOICE: &str = "PROBITY_FUZZ_TARGET";

/// The target that [`CHOICE`] names.
pub static CHOSEN: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var(CHOICE).unwrap_or_default();
    let names = fuzz::TARGETS.map(|target| target.name).join(", ");
    fuzz::target(&name).unwrap_or_else(|| panic!("{CHOICE} is {name:?}; it must be one of {names}"))
});

/// The program of the target with this name.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(
            init: {
                assert!($crate::fuzz::target($name).is_some(), "there is no target {}", $name);
            },
            |data: &[u8]| {
                if let Some(target) = $crate::fuzz::target($name) {
                    (target.run)(data);
                }
            }
        );
    };
}
