//! Python packages are installed from pins with hashes only.

use std::{fs, path::Path};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The pins of a requirements file, each on one line with its hashes.
fn pins(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[test]
fn every_pin_has_a_version_and_a_hash() {
    let mut checked = 0;
    for folder in ["local", "benches"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !(name.starts_with("requirements")
                && std::path::Path::new(&name).extension().is_some_and(|suffix| suffix == "txt"))
            {
                continue;
            }
            for pin in pins(&fs::read_to_string(&path).unwrap()) {
                assert!(pin.contains("==") && pin.contains("--hash=sha256:"), "{name}: {pin}");
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn pip_requires_hashes_wherever_it_installs() {
    for file in ["Makefile", ".ci/run"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for line in text.lines().filter(|line| line.contains("pip install")) {
            assert!(line.contains("--require-hashes -r"), "{file}: {line}");
        }
    }
}
