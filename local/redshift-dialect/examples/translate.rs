//! Reads one Redshift statement from standard input and prints what PostgreSQL would run.
use std::io::Read as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sql = String::new();
    std::io::stdin().read_to_string(&mut sql)?;
    println!("{:#?}", redshift_dialect::translate(&sql, &[])?);
    Ok(())
}
