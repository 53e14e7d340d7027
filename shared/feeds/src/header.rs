//! Assigns the fields of a file to the columns of its feed by the names in the header of the file.

use shiftwork_config::list;

use crate::Feed;

/// Returns the column of each field, in the order of the fields and with the spelling of the feed, or the reason to reject the file. Spaces
/// around a name and the case of ASCII letters do not count, as in Redshift.
///
/// COPY cannot skip a field, so every field needs a column. A column that is not in the header gets its default value; only columns that
/// the feed does not require can be missing.
pub(crate) fn columns(feed: &Feed, header: &[String]) -> Result<Vec<String>, String> {
    if header.is_empty() {
        return Err("the file has no header, and its feed assigns fields to columns by the header".into());
    }
    let is_same = |a: &str, b: &str| a.trim().eq_ignore_ascii_case(b.trim());
    let mut columns: Vec<String> = Vec::with_capacity(header.len());
    for (at, field) in header.iter().enumerate() {
        let Some(column) = feed.columns.iter().find(|column| is_same(column, field)) else {
            let field = match field.trim() {
                "" => format!("field {} of the header has no name", at + 1),
                name => format!("the header has the field `{name}`, which is not a column of the feed"),
            };
            return Err(format!("{field}: the columns are {}", list(feed.columns.iter().map(String::as_str))));
        };
        if columns.contains(column) {
            return Err(format!("the header has the field `{column}` twice"));
        }
        columns.push(column.clone());
    }
    let required = if feed.expect.header.is_empty() { &feed.columns } else { &feed.expect.header };
    let is_missing = |name: &&str| !columns.iter().any(|column| is_same(column, name));
    let missing: Vec<&str> = required.iter().map(String::as_str).filter(is_missing).collect();
    if missing.is_empty() {
        Ok(columns)
    } else {
        Err(format!(
            "the header lacks {}: it has the fields {}",
            list(missing),
            list(header.iter().map(|name| name.trim()))
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{feed::ColumnsBy, sample};

    fn names(text: &str) -> Vec<String> {
        if text.is_empty() { Vec::new() } else { text.split(',').map(Into::into).collect() }
    }

    #[test]
    fn fields_are_assigned_by_name() {
        let mut feed = Feed { columns: names("id,Shop,amount"), columns_by: ColumnsBy::Header, ..sample::feed() };
        for (required, header, expected) in [
            ("", "id,Shop,amount", Ok("id,Shop,amount")),
            ("", "amount,id,Shop", Ok("amount,id,Shop")),
            ("", " AMOUNT ,shop, Id", Ok("amount,Shop,id")),
            ("", "id,amount", Err("the header lacks `Shop`: it has the fields `id`, `amount`")),
            ("", "id", Err("the header lacks `Shop`, `amount`: it has the fields `id`")),
            ("", "", Err("the file has no header, and its feed assigns fields to columns by the header")),
            ("id", "amount,id", Ok("amount,id")),
            ("SHOP", "shop", Ok("Shop")),
            ("id", "amount,shop", Err("the header lacks `id`: it has the fields `amount`, `shop`")),
            (
                "",
                "id,Shop,amount,note",
                Err(
                    "the header has the field `note`, which is not a column of the feed: the columns are `id`, `Shop`, `amount`",
                ),
            ),
            ("", "id,Shop,", Err("field 3 of the header has no name: the columns are `id`, `Shop`, `amount`")),
            ("", "id,Shop,ID,amount", Err("the header has the field `id` twice")),
        ] {
            feed.expect.header = names(required);
            let expected = expected.map(names).map_err(str::to_owned);
            assert_eq!(columns(&feed, &names(header)), expected, "{required}: {header}");
        }
    }
}
