//! `dw_md_missing_data`: source field -> value, of what no column takes.

use crate::{
    contract::Oversized,
    super_json::{Flaws, LARGEST, LimitExceeded, Writer},
    value::Value,
};

/// What a row has for which there is no column.
///
/// A field that is not there is NULL, and so NULL need not be said: until the event leaves some such field out because it did not change.
/// From then on what is not there did not change.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    /// `{"a":1,"b":"c"`
    values: Vec<u8>,
    /// `"d":null,"e":null`
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

    /// The event leaves fields out because they did not change.
    pub(crate) fn leave_others(&mut self) {
        self.others_unchanged = true;
    }

    pub(crate) fn leaves_others(&self) -> bool {
        self.others_unchanged
    }

    /// Whether something waits for a column.
    pub(crate) fn waits(&self) -> bool {
        !self.values.is_empty()
    }

    /// A field and its value. Where it cannot be held it is NULL, or the row is to be refused.
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
            // One byte for the brace that is still to come.
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

    /// A field that is NULL.
    pub(crate) fn null(&mut self, name: &str) {
        let start = self.nulls.len();
        if start > 0 {
            self.nulls.push(b',');
        }
        match Writer::new(&mut self.nulls, Oversized::Cut, &mut Flaws::default(), 1).name(name) {
            Ok(()) => self.nulls.extend_from_slice(b"null"),
            // It is too long a name for a column, ever.
            Err(LimitExceeded::Null(_) | LimitExceeded::Refuse(_)) => self.nulls.truncate(start),
        }
    }

    /// The document, empty for none. None where it is too large for SUPER.
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
