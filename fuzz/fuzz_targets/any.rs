//! All targets in one program, so that `make fuzz` links one and not one for each.
#![no_main]

use probity_fuzz::{CHOSEN, libfuzzer_sys::fuzz_target};

fuzz_target!(|data: &[u8]| (CHOSEN.run)(data));
