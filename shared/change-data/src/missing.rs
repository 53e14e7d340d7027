//! Builds `dw_md_missing_data`: source field -> value, for fields without a column.

use crate::{
    contract::Oversized,
    super_json::{Flaws, LARGEST, LimitExceeded, Writer},
    value::Value,
};

/// The fields of a row without a column.
///
/// Normally an absent field is NULL, so fields that are NULL are not written. If the event leaves a field out because it did not change, an
/// absent field is unchanged, and fields that are NULL are written.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    /// Members with values, without the closing brace: `{"a":1,"b":"c"`.
    values: Vec<u8>,
    /// Members that are NULL: `"d":null,"e":null`.
    nulls: Vec<u8>,
    others_unchanged: bool,
}

impl Missing {
    pub(crate) fn clear(&mut self) {
        for buffer in [&mut self.values, &mut self.nulls] {
            buffer.clear();
            buffer.shrink_to(1 << 20);
        }
        self.others_unchanged = false;
    }

    /// Records that the event leaves fields out because they did not change.
    pub(crate) fn leave_others(&mut self) {
        self.others_unchanged = true;
    }

    pub(crate) fn leaves_others(&self) -> bool {
        self.others_unchanged
    }

    /// Whether a field has a value other than NULL.
    pub(crate) fn waits(&self) -> bool {
        !self.values.is_empty()
    }

    /// Adds a field and its value. The error says whether the policy makes the value NULL or refuses the row.
    pub(crate) fn value(
        &mut self,
        name: &str,
        value: &Value<'_>,
        oversized: Oversized,
        flaws: &mut Flaws,
    ) -> Result<(), LimitExceeded> {
        if matches!(value, Value::Null) {
            self.null(name);
            return Ok(());
        }
        let start = self.values.len();
        self.values.push(if start == 0 { b'{' } else { b',' });
        let named = Writer::new(&mut self.values, oversized, flaws, 1).name(name);
        let written = named.and_then(|()| Writer::new(&mut self.values, oversized, flaws, 1).value(value));
        let written = match written {
            // One byte for the closing brace.
            Ok(()) if self.values.len() >= LARGEST => {
                Err(LimitExceeded::Null("`dw_md_missing_data` would be more than 16 MB"))
            }
            other => other,
        };
        if written.is_err() {
            self.values.truncate(start);
            self.null(name);
        }
        written
    }

    /// Adds a field that is NULL.
    pub(crate) fn null(&mut self, name: &str) {
        let start = self.nulls.len();
        if start > 0 {
            self.nulls.push(b',');
        }
        match Writer::new(&mut self.nulls, Oversized::Cut, &mut Flaws::default(), 1).name(name) {
            Ok(()) => self.nulls.extend_from_slice(b"null"),
            // The name is too long to become a column.
            Err(LimitExceeded::Null(_) | LimitExceeded::Refuse(_)) => self.nulls.truncate(start),
        }
    }

    /// The document; empty if there are no fields. `None` if it is too large for SUPER.
    pub(crate) fn written(&mut self) -> Option<&str> {
        if self.others_unchanged && !self.nulls.is_empty() {
            self.values.push(if self.values.is_empty() { b'{' } else { b',' });
            self.values.append(&mut self.nulls);
        }
        if !self.values.is_empty() {
            self.values.push(b'}');
        }
        std::str::from_utf8(&self.values).ok().filter(|json| json.len() <= LARGEST)
    }
}
