#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shiftwork_change_data_fuzz::values(bytes));
