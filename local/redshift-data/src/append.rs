//! `ALTER TABLE … APPEND`: moves all rows of a source table to a target table.

use crate::connection::Connection;
use crate::execute::{Output, Stop};
use redshift_dialect::AppendSpec;
use shiftwork_sql::quoted;

const COLUMNS: &str = "select attname, format_type(atttypid, atttypmod) from pg_attribute \
    where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum";

/// Moves the rows; columns are matched by name. Redshift moves blocks; this server copies the rows and truncates the
/// source.
///
/// # Errors
/// Returns an error if the columns of the two tables do not match and neither `IGNOREEXTRA` nor `FILLTARGET` allows it.
pub(crate) async fn append(connection: &Connection, spec: &AppendSpec) -> Result<Output, Stop> {
    let client = &connection.client;
    let (target, source) = (quoted_name(&spec.target), quoted_name(&spec.source));
    client.batch_execute(&format!("lock table {target}, {source} in access exclusive mode")).await?;
    let columns = async |table: &str| -> Result<Vec<(String, String)>, Stop> {
        let rows = client.query(COLUMNS, &[&table]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    };
    let (of_target, of_source) = (columns(&target).await?, columns(&source).await?);
    let mut moved = Vec::new();
    for (name, ty) in &of_source {
        match of_target.iter().find(|(other, _)| other == name) {
            Some((_, other)) if other == ty => moved.push(quoted(name)),
            Some((_, other)) => {
                return Err(Stop::Failed(format!(
                    "ERROR: column \"{name}\" is {ty} in {source} but {other} in {target}; APPEND needs the same type"
                )));
            }
            None if spec.ignore_extra => {}
            None => {
                return Err(Stop::Failed(format!(
                    "ERROR: column \"{name}\" of {source} is not in {target}; add IGNOREEXTRA to leave it out"
                )));
            }
        }
    }
    if let Some((name, _)) = of_target.iter().find(|column| !of_source.iter().any(|other| other.0 == column.0))
        && !spec.fill_target
    {
        return Err(Stop::Failed(format!(
            "ERROR: column \"{name}\" of {target} is not in {source}; add FILLTARGET to fill it with its default"
        )));
    }
    let list = moved.join(", ");
    let rows = client.execute(&format!("insert into {target} ({list}) select {list} from {source}"), &[]).await?;
    client.batch_execute(&format!("truncate {source}")).await?;
    Ok(Output::affected(rows))
}

/// A qualified name, with each part quoted.
pub(crate) fn quoted_name(parts: &[String]) -> String {
    parts.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(".")
}
