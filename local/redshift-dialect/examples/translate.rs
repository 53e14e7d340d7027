//! Reads a Redshift statement from standard input and prints its translation.
use std::io::Read as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sql = String::new();
    std::io::stdin().read_to_string(&mut sql)?;
    println!("{:#?}", redshift_dialect::translate(&sql, &[])?);
    Ok(())
}
