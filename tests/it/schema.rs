//! The JSON Schema that editors are given is the one that the program checks by.

use std::path::Path;
#[cfg(all(feature = "local", feature = "aws", feature = "azure"))]
use std::process::Command;

#[test]
#[cfg(all(feature = "local", feature = "aws", feature = "azure"))]
fn the_committed_schema_is_the_programs() -> Result<(), Box<dyn std::error::Error>> {
    for (file, command) in [
        ("docs/meshvm.schema.json", "schema"),
        ("docs/fleet-file.md", "schema --markdown"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let output = Command::new(env!("CARGO_BIN_EXE_meshvm"))
            .args(command.split(' '))
            .env_clear()
            .output()?;
        let printed = String::from_utf8(output.stdout)?;
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &printed)?;
        }
        assert!(
            std::fs::read_to_string(&path)? == printed,
            "{file} is out of date: run `meshvm {command} > {file}`"
        );
    }
    Ok(())
}

#[test]
fn every_example_names_the_schema() -> Result<(), Box<dyn std::error::Error>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = 0;
    for folder in std::fs::read_dir(examples)? {
        let path = folder?.path().join("meshvm.yaml");
        if path.exists() {
            found += 1;
            let text = std::fs::read_to_string(&path)?;
            assert!(
                text.starts_with("# yaml-language-server: $schema=../../docs/meshvm.schema.json\n"),
                "{} does not name the schema in its first line",
                path.display()
            );
        }
    }
    assert!(found > 0);
    Ok(())
}
