//! Binds the parameters of a statement.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

/// A parameter in PostgreSQL's text format; the server infers its type from the position of the placeholder.
///
/// The Data API has only text parameters, and "Amazon Redshift implicitly converts to the proper data type". Type
/// inference by the server has the same effect: `insert … values (:n)` uses the type of the column, `where day = :d`
/// the type of `day`, and a value that does not fit fails as a literal would. Binding all parameters as `text` would
/// fail in these cases, and inserting them into the SQL as literals would allow SQL injection.
#[derive(Debug)]
pub(crate) struct TextParameter<'a>(pub(crate) &'a str);

impl ToSql for TextParameter<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}
