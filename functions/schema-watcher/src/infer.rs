//! Infers the column type for the values of a field, and decides whether an existing column can hold them.
//!
//! | values | column |
//! | --- | --- |
//! | `true`, `false` | `boolean` |
//! | whole numbers | `bigint`; `decimal(38,0)` if out of its range |
//! | numbers with a decimal point or an exponent | `double precision`; a `decimal` for more than 15 and at most 38 digits |
//! | texts | `varchar` of the next length of 64, 256, 1024, 4096, 16384, 65535 bytes |
//! | objects, arrays, values of several types | `super`, which keeps each value unchanged |
//!
//! This is the type if neither the user nor the schema of the events says another one ([`Types`](crate::types::Types)). A text that looks
//! like a date becomes a `varchar`: VARCHAR is the only type that Redshift can widen in place, and a later text may not be a date.

use serde_json::Value;
use shiftwork_change_data::column_type::ColumnType;

/// Lengths of a VARCHAR, in bytes. The steps are large, so that slowly growing texts do not cause many migrations.
const LENGTHS: [u32; 6] = [64, 256, 1024, 4096, 16_384, 65_535];
/// Most digits of a DECIMAL (Redshift docs, "Numeric types").
const DIGITS: u32 = 38;
/// Decimal digits that every DOUBLE PRECISION value keeps.
const DOUBLE_DIGITS: u32 = 15;

/// The numbers among a field's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Largest number of digits before the decimal point.
    pub whole: u32,
    /// Largest number of digits after the decimal point.
    pub fraction: u32,
    /// Whether a whole number is out of the range of BIGINT.
    pub past_bigint: bool,
    /// Whether a number is written with an exponent. Its digits are not counted.
    pub with_exponent: bool,
    /// Whether a number is written with a decimal point, such as `5.0`.
    pub with_point: bool,
}

/// The types and sizes of all values of a field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// Whether a value is `true` or `false`.
    pub booleans: bool,
    /// The numbers, if there are any.
    pub numbers: Option<Numbers>,
    /// Bytes of the longest text, if there are any.
    pub texts: Option<u32>,
    /// Whether a value is an object or an array.
    pub documents: bool,
}

impl Shape {
    /// The shape of one value. NULL has the default shape.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::default(),
            Value::Bool(_) => Self { booleans: true, ..Self::default() },
            Value::Number(number) => Self { numbers: Some(digits(&number.to_string())), ..Self::default() },
            Value::String(text) => {
                Self { texts: Some(u32::try_from(text.len()).unwrap_or(u32::MAX)), ..Self::default() }
            }
            Value::Array(_) | Value::Object(_) => Self { documents: true, ..Self::default() },
        }
    }

    /// The shape of the values of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let numbers = match (self.numbers, other.numbers) {
            (Some(one), Some(two)) => Some(Numbers {
                whole: one.whole.max(two.whole),
                fraction: one.fraction.max(two.fraction),
                past_bigint: one.past_bigint || two.past_bigint,
                with_exponent: one.with_exponent || two.with_exponent,
                with_point: one.with_point || two.with_point,
            }),
            (one, two) => one.or(two),
        };
        Self {
            booleans: self.booleans || other.booleans,
            numbers,
            texts: self.texts.max(other.texts),
            documents: self.documents || other.documents,
        }
    }

    /// The type of a new column for these values.
    pub fn column_type(self) -> ColumnType {
        match self {
            Self { booleans: true, numbers: None, texts: None, documents: false } => ColumnType::Boolean,
            Self { booleans: false, numbers: Some(numbers), texts: None, documents: false } => numbers.column_type(),
            Self { booleans: false, numbers: None, texts: Some(longest), documents: false } => varchar(longest),
            // Values of several types, or only NULL.
            Self { .. } => ColumnType::Super,
        }
    }

    /// The values that a column of this type holds exactly. Values of one JSON type count as a whole.
    #[must_use]
    pub fn fitting(self, column: ColumnType) -> Self {
        let Self { booleans, numbers, texts, documents: _ } = self;
        let none = Self::default();
        match column {
            ColumnType::Super => self,
            ColumnType::Boolean => Self { booleans, ..none },
            // Every scalar can be written as text. The length of a document's text is not known.
            ColumnType::Varchar(length) => Self {
                booleans: booleans && length >= 5,
                numbers: numbers.filter(|numbers| numbers.whole + numbers.fraction + 3 <= length),
                texts: texts.filter(|longest| *longest <= length),
                documents: false,
            },
            ColumnType::SmallInt
            | ColumnType::Integer
            | ColumnType::BigInt
            | ColumnType::Decimal(..)
            | ColumnType::Double => Self { numbers: numbers.filter(|numbers| numbers.fit(column)), ..none },
            // Whether these types hold a value exactly is decided by the loader, which has put the values into `dw_md_missing_data`.
            ColumnType::Real
            | ColumnType::Char(_)
            | ColumnType::Date
            | ColumnType::Time
            | ColumnType::TimeTz
            | ColumnType::Timestamp
            | ColumnType::TimestampTz
            | ColumnType::Varbyte(_)
            | ColumnType::Geometry
            | ColumnType::Geography => none,
        }
    }

    /// The column of a type in the events' schema that takes these values out of `dw_md_missing_data`. `None` if it would leave them there.
    pub fn in_column(self, known: ColumnType) -> Option<ColumnType> {
        let only_texts = self.numbers.is_none() && !self.booleans && !self.documents;
        match known {
            // REAL would round the values that wait.
            ColumnType::Real => self.in_column(ColumnType::Double),
            ColumnType::Varchar(length) => self.fits(known).then_some(known).or_else(|| self.wider(length)),
            // A migration decides by the text of each value. JSON has no values of the last three types.
            ColumnType::Char(length) => {
                (only_texts && self.texts.is_some_and(|longest| longest <= length)).then_some(known)
            }
            ColumnType::Date
            | ColumnType::Time
            | ColumnType::TimeTz
            | ColumnType::Timestamp
            | ColumnType::TimestampTz => only_texts.then_some(known),
            ColumnType::Varbyte(_) | ColumnType::Geometry | ColumnType::Geography => None,
            // Numbers stay exact: a NUMERIC without a precision has any number of digits.
            ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt | ColumnType::Decimal(..) => {
                let wider = || self.more_digits(known).filter(|wider| self.fits(*wider));
                self.fits(known).then_some(known).or_else(wider)
            }
            ColumnType::Double | ColumnType::Boolean | ColumnType::Super => self.fits(known).then_some(known),
        }
    }

    /// Whether a column of this type holds all these values exactly.
    pub fn fits(self, column: ColumnType) -> bool {
        self.fitting(column) == self
    }

    /// The type of exact numbers that a column of such a type must get to hold all numbers. `None` if there is none, or if the column holds
    /// them.
    pub fn more_digits(self, column: ColumnType) -> Option<ColumnType> {
        let numbers = self.numbers.filter(|numbers| !numbers.with_exponent && !numbers.fit(column))?;
        let (whole, scale) = column.exact_digits().map(|(whole, scale)| (u32::from(whole), u32::from(scale)))?;
        if matches!(column, ColumnType::SmallInt | ColumnType::Integer) && numbers.fit(ColumnType::BigInt) {
            return Some(ColumnType::BigInt);
        }
        let fraction = numbers.fraction.max(scale);
        // First with room for more digits. A DECIMAL(38) may have to give up digits before the decimal point that no value may need.
        let choices = [whole.max(numbers.whole), numbers.whole]
            .into_iter()
            .flat_map(|whole| [(whole, fraction.next_multiple_of(6)), (whole, fraction)]);
        let mut types = choices
            .filter(|(whole, fraction)| whole + fraction <= DIGITS && *fraction < DIGITS)
            .filter_map(|(_, fraction)| Some(ColumnType::Decimal(38, u8::try_from(fraction).ok()?)));
        types.find(|new| new.replaces(column) && numbers.fit(*new))
    }

    /// The VARCHAR with the least length that holds all values, and those of a column of this type. `None` if there is none.
    pub fn as_text(self, column: ColumnType) -> Option<ColumnType> {
        let scalars = Self { documents: false, ..self };
        let holds = |text: &ColumnType| text.replaces(column) && scalars.fits(*text);
        // The length of a document's text is not known.
        let lengths = if self.documents { &LENGTHS[LENGTHS.len() - 1..] } else { &LENGTHS[..] };
        lengths.iter().map(|length| ColumnType::Varchar(*length)).find(holds)
    }

    /// The longer VARCHAR that a column VARCHAR(`length`) must become to hold all values. `None` if a longer one does not help.
    pub fn wider(self, length: u32) -> Option<ColumnType> {
        let wider = varchar(self.texts?);
        (self.fits(wider) && wider != ColumnType::Varchar(length) && wider.widens(ColumnType::Varchar(length)))
            .then_some(wider)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut words = Vec::new();
        if self.booleans {
            words.push("true and false".to_owned());
        }
        if let Some(Numbers { whole, fraction, with_exponent, .. }) = self.numbers {
            words.push(match (with_exponent, fraction) {
                (true, _) => "numbers with an exponent".to_owned(),
                (false, 0) => format!("whole numbers up to {whole} digits"),
                (false, fraction) => format!("numbers up to {whole}.{fraction} digits"),
            });
        }
        if let Some(longest) = self.texts {
            words.push(format!("texts up to {longest} bytes"));
        }
        if self.documents {
            words.push("documents".to_owned());
        }
        if words.is_empty() { f.write_str("only null") } else { f.write_str(&words.join(", ")) }
    }
}

impl Numbers {
    fn column_type(self) -> ColumnType {
        let Self { whole, fraction, past_bigint, with_exponent, with_point } = self;
        let digits = whole + fraction;
        match fraction {
            // A later value of the field can have any number of digits.
            _ if with_exponent || (with_point && digits <= DOUBLE_DIGITS) => ColumnType::Double,
            0 if !past_bigint => ColumnType::BigInt,
            0 if whole <= DIGITS => ColumnType::Decimal(38, 0),
            1..=18 if whole <= DIGITS - 18 => ColumnType::Decimal(38, 18),
            _ if digits <= DIGITS => ColumnType::Decimal(38, u8::try_from(fraction).unwrap_or(37)),
            // SUPER stores a number with more digits as a double.
            _ => ColumnType::Double,
        }
    }

    fn fit(self, column: ColumnType) -> bool {
        let Self { whole, fraction, past_bigint, with_exponent, with_point: _ } = self;
        match column {
            // A double accepts every number, but does not keep every digit.
            ColumnType::Double => true,
            _ if with_exponent => false,
            ColumnType::SmallInt => fraction == 0 && whole <= 4,
            ColumnType::Integer => fraction == 0 && whole <= 9,
            ColumnType::BigInt => fraction == 0 && !past_bigint,
            ColumnType::Decimal(precision, scale) => {
                fraction <= u32::from(scale) && whole <= u32::from(precision) - u32::from(scale)
            }
            ColumnType::Real
            | ColumnType::Boolean
            | ColumnType::Char(_)
            | ColumnType::Varchar(_)
            | ColumnType::Date
            | ColumnType::Time
            | ColumnType::TimeTz
            | ColumnType::Timestamp
            | ColumnType::TimestampTz
            | ColumnType::Super
            | ColumnType::Varbyte(_)
            | ColumnType::Geometry
            | ColumnType::Geography => false,
        }
    }
}

fn varchar(longest: u32) -> ColumnType {
    LENGTHS.into_iter().find(|length| longest <= *length).map_or(ColumnType::Super, ColumnType::Varchar)
}

/// Counts the digits of a number in JSON notation.
pub fn digits(number: &str) -> Numbers {
    if number.contains(['e', 'E']) {
        return Numbers { whole: 0, fraction: 0, past_bigint: false, with_exponent: true, with_point: false };
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let count = |digits: &str| u32::try_from(digits.len()).unwrap_or(u32::MAX / 4).min(u32::MAX / 4);
    Numbers {
        whole: count(whole.trim_start_matches(['-', '0'])),
        fraction: count(fraction),
        past_bigint: fraction.is_empty() && whole.parse::<i64>().is_err(),
        with_exponent: false,
        with_point: number.contains('.'),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use shiftwork_change_data::column_type::ColumnType::{self, BigInt, Boolean, Decimal, Double, Super, Varchar};

    use super::{Numbers, Shape, digits};

    fn of(values: &[Value]) -> Shape {
        values.iter().map(Shape::of).fold(Shape::default(), Shape::with)
    }

    use serde_json::Value;

    #[test]
    fn a_type_is_inferred_as_documented() {
        for (values, wanted) in [
            (vec![json!(true), json!(false)], Boolean),
            (vec![json!(1), json!(-9_223_372_036_854_775_808_i64)], BigInt),
            (vec![json!(9_223_372_036_854_775_808_u64)], Decimal(38, 0)),
            (vec![json!(1), json!(12.5)], Double),
            (vec![json!(5.0)], Double),
            (vec![json!(0.123_456_789)], Double),
            (vec![json!("a"), json!(null)], Varchar(64)),
            (vec![json!("x".repeat(65)), json!("")], Varchar(256)),
            (vec![json!("x".repeat(65_535))], Varchar(65_535)),
            (vec![json!({}), json!([])], Super),
            (vec![json!(1), json!("1")], Super),
            (vec![json!(true), json!(1)], Super),
            (vec![json!(1e300), json!(1)], Double),
            (vec![json!(null)], Super),
        ] {
            assert_eq!(of(&values).column_type(), wanted, "{values:?}");
        }
        let wide = Numbers { whole: 30, fraction: 8, past_bigint: true, with_exponent: false, with_point: true };
        assert_eq!(wide.column_type(), Decimal(38, 8));
        assert_eq!(Numbers { fraction: 9, ..wide }.column_type(), Double);
    }

    #[test]
    fn a_column_of_numbers_gets_more_digits() {
        let column = |text: &str| ColumnType::parse(text).unwrap();
        for (from, values, wanted) in [
            ("integer", vec![json!(3_000_000_000_u32)], Some("bigint")),
            ("smallint", vec![json!(70_000), json!(1)], Some("bigint")),
            ("bigint", vec![json!(9_223_372_036_854_775_808_u64)], Some("decimal(38,0)")),
            ("integer", vec![json!(12.5)], Some("decimal(38,6)")),
            ("decimal(12,2)", vec![json!(12.255)], Some("decimal(38,6)")),
            ("decimal(12,2)", vec![json!(123_456_789_012_u64)], Some("decimal(38,6)")),
            ("decimal(38,10)", vec![json!(0.333_333_333_333)], Some("decimal(38,12)")),
            ("decimal(38,0)", vec![json!(0.5)], Some("decimal(38,6)")),
            ("decimal(12,2)", vec![json!(1)], None),
            ("decimal(12,2)", vec![json!("one")], None),
            ("decimal(12,2)", vec![json!(1e300)], None),
            ("double precision", vec![json!(1)], None),
        ] {
            assert_eq!(of(&values).more_digits(column(from)), wanted.map(column), "{from} {values:?}");
        }
        let long = Numbers { whole: 20, fraction: 20, past_bigint: false, with_exponent: false, with_point: true };
        let long = Shape { numbers: Some(long), ..Shape::default() };
        assert_eq!(long.more_digits(column("decimal(12,2)")), None, "no DECIMAL has 40 digits");
    }

    #[test]
    fn a_text_holds_the_values_of_a_column_and_those_that_wait() {
        for (from, value, wanted) in [
            (ColumnType::Integer, json!("many"), Some(Varchar(64))),
            (ColumnType::Integer, json!("x".repeat(65)), Some(Varchar(256))),
            (Varchar(256), json!({}), Some(Varchar(65_535))),
            (Super, json!("x"), None),
        ] {
            assert_eq!(Shape::of(&value).as_text(from), wanted, "{from} {value}");
        }
    }

    #[test]
    fn digits_are_counted_as_written() {
        for (number, whole, fraction, past_bigint) in [
            ("0", 0, 0, false),
            ("-12.50", 2, 1, false),
            ("0.001", 0, 3, false),
            ("9223372036854775807", 19, 0, false),
            ("-9223372036854775809", 19, 0, true),
            ("123456789012345678901234567890", 30, 0, true),
        ] {
            let with_point = number.contains('.');
            let wanted = Numbers { whole, fraction, past_bigint, with_exponent: false, with_point };
            assert_eq!(digits(number), wanted, "{number}");
        }
        assert!(digits("1e300").with_exponent && digits("1.5E-7").with_exponent);
    }

    #[test]
    fn only_a_longer_varchar_is_a_wider_column() {
        assert_eq!(of(&[json!("x".repeat(65))]).wider(64), Some(Varchar(256)));
        assert_eq!(of(&[json!("x".repeat(65))]).wider(256), None, "the longest text fits");
        assert_eq!(
            of(&[json!("x".repeat(65)), json!(1)]).wider(64),
            Some(Varchar(256)),
            "every number can be written as text"
        );
        assert_eq!(
            of(&[json!("x".repeat(65)), json!([])]).wider(64),
            None,
            "the length of a document's text is not known"
        );
        assert_eq!(of(&[json!(1)]).wider(64), None);
    }

    fn a_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1_000_000_i32..1_000_000, 0..8).prop_map(|(n, places)| Value::from(f64::from(n) / 10_f64.powi(places))),
            any::<f64>().prop_filter("JSON has no infinity and no NaN", |n| n.is_finite()).prop_map(Value::from),
            ".{0,300}".prop_map(Value::from),
            Just(json!({ "a": 1 })),
            Just(json!([1])),
            Just(Value::Null),
        ]
    }

    fn same_kind() -> impl Strategy<Value = Vec<Value>> {
        let kinds = prop_oneof![Just(0_u8), Just(1), Just(2), Just(3), Just(4)];
        (kinds, prop::collection::vec(a_value(), 1..12)).prop_map(|(kind, values)| {
            let one: Vec<Value> = values
                .iter()
                .filter(|value| match kind {
                    0 => value.is_boolean(),
                    1 => value.is_i64(),
                    2 => value.is_number(),
                    3 => value.is_string(),
                    _ => true,
                })
                .cloned()
                .collect();
            if one.is_empty() { values } else { one }
        })
    }

    /// Whether Redshift keeps a value of SUPER unchanged if it is cast to a type.
    fn holds(column: ColumnType, value: &Value) -> bool {
        match (column, value) {
            (_, Value::Null) | (Super, _) | (Boolean, Value::Bool(_)) => true,
            (BigInt, Value::Number(n)) => {
                n.as_f64().is_some_and(|n| n.fract() == 0.0)
                    && n.to_string().trim_end_matches(".0").parse::<i64>().is_ok()
            }
            (Decimal(precision, scale), Value::Number(n)) => {
                let Numbers { whole, fraction, .. } = digits(&n.to_string());
                fraction <= u32::from(scale) && whole + u32::from(scale) <= u32::from(precision)
            }
            (Double, Value::Number(n)) => n.to_string().parse::<f64>().is_ok(),
            (Varchar(length), Value::String(text)) => text.len() <= length as usize,
            _ => false,
        }
    }

    proptest! {
        /// Every value fits the type that is inferred from it and others of its type.
        #[test]
        fn every_value_fits_the_inferred_type(values in same_kind()) {
            let shape = of(&values);
            let column = shape.column_type();
            prop_assert!(shape.fits(column), "{shape:?} {column}");
            for value in &values {
                prop_assert!(holds(column, value), "{column} {value}");
                prop_assert!(Shape::of(value).fits(column), "{column} {value}");
            }
        }

        /// A shape does not depend on the order of the values or on repetitions.
        #[test]
        fn a_shape_does_not_depend_on_order(values in prop::collection::vec(a_value(), 0..12)) {
            let mut twice = values.clone();
            twice.extend(values.iter().rev().cloned());
            prop_assert_eq!(of(&values), of(&twice));
        }

        #[test]
        fn any_text_for_a_number_is_counted(text in ".*") {
            let _ = digits(&text);
        }
    }
}
