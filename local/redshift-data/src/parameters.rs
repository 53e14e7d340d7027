//! How a statement's parameters are bound.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

/// A parameter in PostgreSQL's text format, of whatever type the server infers for its placeholder.
///
/// The Data API has text parameters only and "Amazon Redshift implicitly converts to the proper data type". Leaving the
/// type to the server does the same: `insert … values (:n)` takes the column's type, `where day = :d` that of `day`, and
/// a value that does not fit fails as a literal would. Binding everything as `text` would fail on each of them, and
/// pasting literals would be an injection.
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
