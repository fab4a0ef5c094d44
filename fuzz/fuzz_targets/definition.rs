#![no_main]
probity_fuzz::target!("definition");
