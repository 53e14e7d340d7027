//! What the footer of a Parquet file tells: its columns and rows. Only that much of the format is known here; a file is
//! read by Redshift.
//!
//! ```text
//! PAR1 … FileMetaData, in Thrift's compact protocol … its length (4 bytes, little-endian) PAR1
//! ```

/// Length of the metadata and the magic number behind it.
const TRAILER: usize = 8;
/// Structures within structures that the format does not have.
const TOO_DEEP: u32 = 16;

/// What a footer tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Names of the columns; a list or a structure is one.
    pub(crate) columns: Vec<String>,
    /// Rows of the file.
    pub(crate) rows: u64,
}

/// What the end of a file told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Everything.
    Footer(Footer),
    /// The footer is longer: so many bytes from the end.
    More(u64),
}

/// Reads the end of a file of `size` bytes.
///
/// # Errors
/// Why this is no Parquet file, in words that follow "it".
pub(crate) fn read(tail: &[u8], size: u64) -> Result<Tail, String> {
    let Some((before, trailer)) = tail.split_last_chunk::<TRAILER>() else {
        return Err(format!("is no Parquet file: it has {size} bytes"));
    };
    let [a, b, c, d, magic @ ..] = *trailer;
    match &magic {
        b"PAR1" => {}
        b"PARE" => return Err("is a Parquet file with an encrypted footer, which COPY does not read".into()),
        other => {
            return Err(format!("is no whole Parquet file: it ends with `{}`, not with `PAR1`", other.escape_ascii()));
        }
    }
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let needed = length + TRAILER as u64;
    if needed > size {
        return Err(format!("is no whole Parquet file: a footer of {length} bytes does not fit into its {size}"));
    }
    let Some(start) = usize::try_from(length).ok().and_then(|length| before.len().checked_sub(length)) else {
        return Ok(Tail::More(needed));
    };
    let footer = Compact(&before[start..]).footer();
    footer.map(Tail::Footer).ok_or_else(|| "is no whole Parquet file: its footer cannot be read".into())
}

/// Thrift's compact protocol, from here on.
struct Compact<'a>(&'a [u8]);

/// Kinds of values that are read, not skipped.
mod kind {
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const STRUCT: u8 = 12;
}

impl<'a> Compact<'a> {
    /// `FileMetaData`, as far as its `schema` (2) and `num_rows` (3).
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

    /// The names right below the root of the schema: a list of `SchemaElement`, each before its children.
    fn schema(&mut self) -> Option<Vec<String>> {
        let (elements, kind::STRUCT) = self.list()? else { return None };
        let (_, below_root) = self.element()?;
        let mut columns = Vec::new();
        // Elements that are still to come below the column that is being read.
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

    /// `SchemaElement`: its `name` (4) and `num_children` (5).
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

    /// The number and kind of the next field of a structure; kind 0 ends it.
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
        if depth > TOO_DEEP {
            return None;
        }
        match kind {
            // Booleans are in the kind itself.
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

    /// In a list or map a boolean is a byte.
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

    /// A file with a structure, and a list in it; `rows` rows.
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
        let Ok(Tail::More(needed)) = read(&bytes[bytes.len() - 30..], size) else { panic!("30 bytes are not enough") };
        let tail = &bytes[bytes.len() - usize::try_from(needed).unwrap()..];
        assert_eq!(read(tail, size), Ok(Tail::Footer(footer)));
    }

    #[test]
    fn what_is_no_whole_parquet_file_is_told() {
        let bytes = file(7);
        let said = |bytes: &[u8]| read(bytes, bytes.len() as u64).unwrap_err();
        assert!(said(b"").contains("it has 0 bytes"));
        assert!(said(&bytes[..bytes.len() - 1]).contains("not with `PAR1`"));
        assert!(said(b"id,word\n1,a\n").contains("it ends with `1,a\\n`"));
        assert!(said(b"PAR1\xFF\0\0\0PAR1").contains("a footer of 255 bytes does not fit"));
        assert!(said(b"PAR1\0\0\0\0PAR1").contains("cannot be read"));
        assert!(said(b"PAR1\0\0\0\0PARE").contains("encrypted"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_take_long(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut tail = bytes.clone();
            tail.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
            tail.extend(b"PAR1");
            let _ = read(&tail, tail.len() as u64);
        }

        #[test]
        fn a_damaged_footer_never_panics(at in 0_usize..400, byte: u8) {
            let mut bytes = file(3);
            let at = bytes.len().saturating_sub(at + 9);
            bytes[at] = byte;
            let _ = read(&bytes, bytes.len() as u64);
        }
    }
}
