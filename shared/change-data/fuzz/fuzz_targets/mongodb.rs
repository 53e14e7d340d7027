#![no_main]

use shiftwork_change_data::contract::Format;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shiftwork_change_data_fuzz::records(Format::DebeziumMongodb, bytes));
