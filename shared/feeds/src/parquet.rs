//! Reads the column names and the number of rows from the footer of a Parquet file. Redshift reads the data, so this module supports no
//! other part of the format.
//!
//! ```text
//! PAR1 … FileMetaData in Thrift's compact protocol, length of FileMetaData (4 bytes, little-endian), PAR1
//! ```

/// Number of bytes after the metadata: their length and the magic number.
const TRAILER: usize = 8;
/// Maximum nesting depth of structures. `FileMetaData` has fewer levels.
const DEPTH: u32 = 16;

/// The part of a footer that inspections need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Names of the top-level columns. A list or a structure is one column.
    pub(crate) columns: Vec<String>,
    /// Number of rows in the file.
    pub(crate) rows: u64,
}

/// The result of reading the end of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tail {
    /// The footer was read.
    Footer(Footer),
    /// The footer begins before the bytes that were given: this number of bytes at the end of the file is needed.
    NeedsBytes(u64),
}

/// Reads the footer from `tail`, the last bytes of a file of `size` bytes.
///
/// # Errors
/// Returns the reason why the file is not a valid Parquet file, as a predicate: "is not a Parquet file".
pub(crate) fn read(tail: &[u8], size: u64) -> Result<Tail, String> {
    let Some((before, trailer)) = tail.split_last_chunk::<TRAILER>() else {
        return Err(format!("is not a Parquet file: it has {size} bytes"));
    };
    let [a, b, c, d, magic @ ..] = *trailer;
    match &magic {
        b"PAR1" => {}
        b"PARE" => return Err("is a Parquet file with an encrypted footer, which COPY does not read".into()),
        other => {
            return Err(format!(
                "is not a complete Parquet file: it ends with `{}`, not with `PAR1`",
                other.escape_ascii()
            ));
        }
    }
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let needed = length + TRAILER as u64;
    if needed > size {
        return Err(format!("is not a complete Parquet file: it has {size} bytes, and its footer {length}"));
    }
    let Some(start) = usize::try_from(length).ok().and_then(|length| before.len().checked_sub(length)) else {
        return Ok(Tail::NeedsBytes(needed));
    };
    let footer = Compact(&before[start..]).footer();
    footer.map(Tail::Footer).ok_or_else(|| "is not a complete Parquet file: its footer cannot be read".into())
}

/// A reader of Thrift's compact protocol over the remaining bytes. Its methods return `None` if the bytes are not valid.
struct Compact<'a>(&'a [u8]);

/// Type numbers of Thrift's compact protocol for the values that are read.
mod kind {
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const STRUCT: u8 = 12;
}

impl<'a> Compact<'a> {
    /// Reads `FileMetaData` up to its fields `schema` (2) and `num_rows` (3).
    fn footer(&mut self) -> Option<Footer> {
        let (mut columns, mut field) = (None, 0);
        loop {
            match self.field(&mut field)? {
                (2, kind::LIST) => columns = Some(self.schema()?),
                (3, kind::I64) => {
                    let rows = self.signed()?.try_into().ok()?;
                    return Some(Footer { columns: columns?, rows });
                }
                (_, 0) => return None,
                (_, kind) => self.skip(kind, 0)?,
            }
        }
    }

    /// Reads the names of the root's children from the list of `SchemaElement`, in which each element precedes its children.
    fn schema(&mut self) -> Option<Vec<String>> {
        let (elements, kind::STRUCT) = self.list()? else { return None };
        let (_, below_root) = self.element()?;
        let mut columns = Vec::new();
        // Number of elements inside the current column that are not read yet.
        let mut inside: u64 = 0;
        for _ in 1..elements {
            let (name, children) = self.element()?;
            if inside == 0 {
                columns.push(name);
            } else {
                inside -= 1;
            }
            inside = inside.checked_add(children)?;
        }
        (columns.len() as u64 == below_root && inside == 0).then_some(columns)
    }

    /// Reads the fields `name` (4) and `num_children` (5) of a `SchemaElement`.
    fn element(&mut self) -> Option<(String, u64)> {
        let (mut name, mut children, mut field) = (None, 0, 0);
        loop {
            match self.field(&mut field)? {
                (4, kind::BINARY) => name = Some(String::from_utf8_lossy(self.binary()?).into_owned()),
                (5, kind::I32) => children = self.signed()?.try_into().ok()?,
                (_, 0) => return Some((name?, children)),
                (_, kind) => self.skip(kind, 0)?,
            }
        }
    }

    /// Reads the number and the type of the next field of a structure. Type 0 ends the structure.
    fn field(&mut self, last: &mut i64) -> Option<(i64, u8)> {
        let byte = self.byte()?;
        let (step, kind) = (byte >> 4, byte & 0x0F);
        if kind == 0 {
            return Some((0, 0));
        }
        *last = if step == 0 { self.signed()? } else { last.checked_add(step.into())? };
        Some((*last, kind))
    }

    fn list(&mut self) -> Option<(u64, u8)> {
        let byte = self.byte()?;
        let size = if byte >> 4 == 15 { self.unsigned()? } else { u64::from(byte >> 4) };
        Some((size, byte & 0x0F))
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Option<()> {
        if depth > DEPTH {
            return None;
        }
        match kind {
            // The value of a boolean is part of its type.
            1 | 2 => {}
            3 => drop(self.take(1)?),
            4..=6 => drop(self.unsigned()?),
            7 => drop(self.take(8)?),
            8 => drop(self.binary()?),
            9 | 10 => {
                let (size, kind) = self.list()?;
                for _ in 0..size {
                    self.skip_element(kind, depth)?;
                }
            }
            11 => {
                let size = self.unsigned()?;
                let kinds = if size == 0 { 0 } else { self.byte()? };
                for _ in 0..size {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0x0F, depth)?;
                }
            }
            12 => {
                let mut field = 0;
                while let (_, kind @ 1..) = self.field(&mut field)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            13 => drop(self.take(16)?),
            _ => return None,
        }
        Some(())
    }

    /// Skips an element of a list or map, in which a boolean is one byte.
    fn skip_element(&mut self, kind: u8, depth: u32) -> Option<()> {
        self.skip(if kind <= 2 { 3 } else { kind }, depth + 1)
    }

    fn binary(&mut self) -> Option<&'a [u8]> {
        let length = self.unsigned()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn signed(&mut self) -> Option<i64> {
        let zigzag = self.unsigned()?;
        Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::{
        data_type::{Int32Type, Int64Type},
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };
    use proptest::prelude::*;

    use super::*;

    enum Values<'a> {
        Long(&'a [i64]),
        Int(&'a [i32]),
    }

    /// A file of `rows` rows, with a structure that contains a list.
    fn file(rows: usize) -> Vec<u8> {
        let schema = "message m { required int64 id; optional group shop { required int32 no; optional group tags (LIST) \
            { repeated group list { optional int32 element; } } } required int32 Größe; }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = Arc::new(WriterProperties::builder().set_created_by("x".repeat(400)).build());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut write = |values: Values<'_>, levels: Option<&[i16]>| {
            let mut column = group.next_column().unwrap().unwrap();
            match values {
                Values::Long(values) => column.typed::<Int64Type>().write_batch(values, levels, None),
                Values::Int(values) => column.typed::<Int32Type>().write_batch(values, levels, levels),
            }
            .unwrap();
            column.close().unwrap();
        };
        let nothing = vec![0; rows];
        write(Values::Long(&vec![1; rows]), None);
        write(Values::Int(&[]), Some(&nothing));
        write(Values::Int(&[]), Some(&nothing));
        write(Values::Int(&vec![2; rows]), None);
        group.close().unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn the_columns_and_rows_of_a_file_are_in_its_footer() {
        let bytes = file(7);
        let size = bytes.len() as u64;
        let footer = Footer { columns: ["id", "shop", "Größe"].map(String::from).to_vec(), rows: 7 };
        assert_eq!(read(&bytes, size), Ok(Tail::Footer(footer.clone())));
        let Ok(Tail::NeedsBytes(needed)) = read(&bytes[bytes.len() - 30..], size) else {
            panic!("30 bytes are not enough")
        };
        let tail = &bytes[bytes.len() - usize::try_from(needed).unwrap()..];
        assert_eq!(read(tail, size), Ok(Tail::Footer(footer)));
    }

    #[test]
    fn an_incomplete_file_is_refused_with_the_reason() {
        let bytes = file(7);
        let reason = |bytes: &[u8]| read(bytes, bytes.len() as u64).unwrap_err();
        assert!(reason(b"").contains("it has 0 bytes"));
        assert!(reason(&bytes[..bytes.len() - 1]).contains("not with `PAR1`"));
        assert!(reason(b"id,word\n1,a\n").contains("it ends with `1,a\\n`"));
        assert!(reason(b"PAR1\xFF\0\0\0PAR1").contains("it has 12 bytes, and its footer 255"));
        assert!(reason(b"PAR1\0\0\0\0PAR1").contains("cannot be read"));
        assert!(reason(b"PAR1\0\0\0\0PARE").contains("encrypted"));
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut tail = bytes.clone();
            tail.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
            tail.extend(b"PAR1");
            let _ = read(&tail, tail.len() as u64);
        }

        #[test]
        fn no_damaged_footer_causes_a_panic(at in 0_usize..400, byte: u8) {
            let mut bytes = file(3);
            let at = bytes.len().saturating_sub(at + 9);
            bytes[at] = byte;
            let _ = read(&bytes, bytes.len() as u64);
        }
    }
}
