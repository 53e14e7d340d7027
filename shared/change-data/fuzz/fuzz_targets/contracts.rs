#![no_main]

use shiftwork_change_data::{
    compiled::Compiled,
    contract::{propose, read},
    layout::Staged,
};

// Inputs from users and from listings: contracts, records from which a contract is proposed, keys of staged objects.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for proposed in propose(bytes.split(|byte| *byte == b'\n')) {
        if let Ok(contract) = proposed.check() {
            let _ = Compiled::new(contract);
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(contract) = read("fuzz.yaml", text) {
        assert_eq!(contract.draft().check(), Ok(contract.clone()));
        let _ = Compiled::new(contract);
    }
    if let Some(staged) = Staged::parse(text) {
        assert_eq!(Staged::parse(&staged.key()), Some(staged));
    }
});
