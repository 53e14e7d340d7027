//! SQL that converts a value in `dw_md_missing_data` to a column's type, if it fits.

use shiftwork_change_data::column_type::ColumnType;

const DAY: &str = "[0-9]{4}-[0-9]{2}-[0-9]{2}";
const CLOCK: &str = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?";
const ZONE: &str = "(Z|[+-][0-9]{2}(:?[0-9]{2})?)";

/// An expression for the text of the SUPER `dw_value`, as a column `dw_text`: the content of a string, the JSON text of any other value.
/// NULL for a JSON null, and for a value that is longer than any VARCHAR.
pub(crate) const TEXT: &str = "\
CASE WHEN JSON_TYPEOF(dw_value) = 'string' THEN dw_value::VARCHAR(65535)
     WHEN JSON_TYPEOF(dw_value) <> 'null' AND JSON_SIZE(dw_value) <= 65535 THEN JSON_SERIALIZE(dw_value) END AS dw_text";

/// An expression for the column's value of `dw_value` and its `dw_text`. It is NULL for a value that does not fit, which then stays in
/// `dw_md_missing_data`. `None` for types that JSON has no values of.
///
/// In Redshift a failed cast of a SUPER value is NULL (`cast_super_null_on_error`), but a failed cast of text fails the load. A text is
/// therefore matched against a pattern before it is cast.
pub(crate) fn fits(column_type: ColumnType) -> Option<String> {
    let sql_type = column_type.to_string().to_uppercase();
    let whole = |least: &str, most: &str, digits: u8| {
        format!(
            "CASE WHEN dw_text ~ '^-?[0-9]{{1,{digits}}}$'\n     \
             THEN CASE WHEN dw_text::DECIMAL(38, 0) BETWEEN {least} AND {most} THEN dw_text::{sql_type} END END"
        )
    };
    let pattern = |pattern: &str, value: &str| format!("CASE WHEN dw_text ~ '{pattern}' THEN {value}::{sql_type} END");
    Some(match column_type {
        ColumnType::SmallInt => whole("-32768", "32767", 5),
        ColumnType::Integer => whole("-2147483648", "2147483647", 10),
        ColumnType::BigInt => whole("-9223372036854775808", "9223372036854775807", 19),
        ColumnType::Decimal(precision, scale) => {
            let before = match precision - scale {
                0 => "0".to_owned(),
                digits => format!("[0-9]{{1,{digits}}}"),
            };
            let after = if scale == 0 { "0*".to_owned() } else { format!("[0-9]{{1,{scale}}}0*") };
            pattern(&format!("^-?{before}([.]{after})?$"), "dw_text")
        }
        ColumnType::Real | ColumnType::Double => {
            format!("CASE WHEN JSON_TYPEOF(dw_value) = 'number' THEN dw_value::{sql_type} END")
        }
        ColumnType::Boolean => {
            "CASE WHEN dw_text IN ('true', '1') THEN TRUE WHEN dw_text IN ('false', '0') THEN FALSE END".to_owned()
        }
        // CHAR holds only ASCII.
        ColumnType::Char(length) => format!(
            "CASE WHEN OCTET_LENGTH(dw_text) <= {length} AND OCTET_LENGTH(dw_text) = LEN(dw_text) THEN dw_text::{sql_type} END"
        ),
        ColumnType::Varchar(length) => {
            format!("CASE WHEN OCTET_LENGTH(dw_text) <= {length} THEN dw_text::{sql_type} END")
        }
        ColumnType::Date => pattern(&format!("^{DAY}$"), "dw_value"),
        ColumnType::Time => pattern(&format!("^{CLOCK}$"), "dw_text"),
        ColumnType::TimeTz => pattern(&format!("^{CLOCK}{ZONE}$"), "dw_text"),
        ColumnType::Timestamp => pattern(&format!("^{DAY}[T ]{CLOCK}Z?$"), "dw_value"),
        ColumnType::TimestampTz => pattern(&format!("^{DAY}[T ]{CLOCK}{ZONE}$"), "dw_value"),
        ColumnType::Super => "CASE WHEN JSON_TYPEOF(dw_value) <> 'null' THEN dw_value END".to_owned(),
        ColumnType::Varbyte(_) | ColumnType::Geometry | ColumnType::Geography => return None,
    })
}
