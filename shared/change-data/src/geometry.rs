//! Converts shapes from Debezium's `{"wkb": "base64", "srid": 4326}` to extended well-known binary (EWKB), which Redshift reads.
//!
//! A shape that Redshift cannot read would fail the load of the whole file, so each shape is validated before it is written.

use crate::{json::RawJson, logical::Encoding};

/// Bits of the type in PostGIS's EWKB: there is a third coordinate, a measure, an SRID.
const HAS_Z: u32 = 0x8000_0000;
const HAS_M: u32 = 0x4000_0000;
const HAS_SRID: u32 = 0x2000_0000;
/// Bytes of the largest shape (Redshift docs, "Querying spatial data").
const LARGEST: usize = 1_048_447;
/// Most levels of collections in collections.
const DEEPEST: usize = 16;
/// The only spatial reference system of GEOGRAPHY (WGS 84).
const WGS_84: u32 = 4326;

/// The EWKB of a shape in hexadecimal digits. `None` if the value is not a valid shape.
pub(crate) fn ewkb(raw: RawJson<'_>) -> Option<String> {
    let wkb = Encoding::Base64.decode(&raw.member("wkb")?.string()?)?;
    let srid = match raw.member("srid").and_then(RawJson::some) {
        Some(srid) => Some(u32::try_from(srid.i64()?).ok()?),
        None => None,
    };
    let mut reader = Reader { bytes: &wkb, is_little: true };
    let kind = reader.header()?;
    let write = |number: u32| if reader.is_little { number.to_le_bytes() } else { number.to_be_bytes() };
    let mut out = vec![*wkb.first()?];
    match srid {
        // An SRID that the shape has already is kept.
        Some(srid) if kind & HAS_SRID == 0 => {
            out.extend(write(kind | HAS_SRID));
            out.extend(write(srid));
        }
        Some(_) | None => out.extend(write(kind)),
    }
    out.extend_from_slice(reader.bytes);
    Some(hex::encode_upper(out))
}

/// Whether the hexadecimal digits are a shape that GEOMETRY holds.
pub(crate) fn is_geometry(ewkb: &str) -> bool {
    hex::decode(ewkb).is_ok_and(|bytes| shape(&bytes).is_some())
}

/// Whether the hexadecimal digits are a shape that GEOGRAPHY holds.
pub(crate) fn is_geography(ewkb: &str) -> bool {
    hex::decode(ewkb).is_ok_and(|bytes| shape(&bytes).is_some_and(|srid| matches!(srid, 0 | WGS_84)))
}

/// The SRID of a complete shape without further bytes; 0 if it has none.
fn shape(bytes: &[u8]) -> Option<u32> {
    let mut reader = Reader { bytes, is_little: true };
    let srid = reader.shape(None, DEEPEST)?;
    (reader.bytes.is_empty() && bytes.len() <= LARGEST).then_some(srid)
}

struct Reader<'b> {
    bytes: &'b [u8],
    is_little: bool,
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(if self.is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// Reads the byte order and returns the type.
    fn header(&mut self) -> Option<u32> {
        self.is_little = match self.take(1)? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        self.number()
    }

    /// Skips a shape. `only` is the type that the parts must have in a collection of points, lines or polygons.
    fn shape(&mut self, only: Option<u32>, levels: usize) -> Option<u32> {
        let levels = levels.checked_sub(1)?;
        let kind = self.header()?;
        let srid = if kind & HAS_SRID == 0 { 0 } else { self.number()? };
        // The dimensions are in the thousands of ISO's types, and in the bits of PostGIS's types.
        let plain = kind & !(HAS_Z | HAS_M | HAS_SRID);
        let (iso, plain) = (plain / 1000, plain % 1000);
        let dimensions = 2 + usize::from(kind & HAS_Z != 0) + usize::from(kind & HAS_M != 0);
        let dimensions = match (iso, dimensions) {
            (0, dimensions) => dimensions,
            (1 | 2, 2) => 3,
            (3, 2) => 4,
            _ => return None,
        };
        if only.is_some_and(|only| only != plain) {
            return None;
        }
        match plain {
            1 => self.take(8 * dimensions).map(|_| ())?,
            2 => self.line(dimensions, 2, false)?,
            3 => {
                for _ in 0..self.number()? {
                    self.line(dimensions, 4, true)?;
                }
            }
            4..=6 => {
                for _ in 0..self.number()? {
                    self.shape(Some(plain - 3), levels)?;
                }
            }
            7 => {
                for _ in 0..self.number()? {
                    self.shape(None, levels)?;
                }
            }
            _ => return None,
        }
        Some(srid)
    }

    /// Skips the points of a line: none, or at least `least`. In a ring the last point must be the first.
    fn line(&mut self, dimensions: usize, least: usize, is_ring: bool) -> Option<()> {
        let count = usize::try_from(self.number()?).ok()?;
        let points = self.take(count.checked_mul(8 * dimensions)?)?;
        let is_closed = || points.chunks(8 * dimensions).next() == points.chunks(8 * dimensions).next_back();
        (count == 0 || (count >= least && (!is_ring || is_closed()))).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::{ewkb, is_geography, is_geometry};
    use crate::json::validated;

    fn shape(wkb: &str, srid: &str) -> Option<String> {
        let wkb = STANDARD.encode(hex::decode(wkb).unwrap());
        ewkb(validated(format!(r#"{{"x":1.0,"y":1.0,"wkb":"{wkb}","srid":{srid}}}"#).as_bytes()).unwrap())
    }

    const ONE: &str = "000000000000F03F";

    #[test]
    fn a_point_keeps_its_srid() {
        let point = format!("{ONE}{ONE}");
        let little = format!("0101000000{point}");
        assert_eq!(shape(&little, "4326").unwrap(), format!("0101000020E6100000{point}"));
        assert_eq!(shape(&little, "null").unwrap(), little);
        assert_eq!(
            shape("00000000013FF00000000000003FF0000000000000", "4326").unwrap(),
            "0020000001000010E63FF00000000000003FF0000000000000"
        );
        assert_eq!(shape("0101", "null"), None);
        assert_eq!(shape(&little, "-1"), None);
    }

    #[test]
    fn an_incomplete_shape_is_not_valid() {
        let point = format!("0101000000{ONE}{ONE}");
        let zero = "0000000000000000";
        let ring = format!("0103000000010000000400000{}{zero}{zero}{ONE}{zero}{ONE}{ONE}{zero}{zero}", 0);
        let many = format!("010400000002000000{point}{point}");
        for whole in [&point, &ring, &many, &format!("01E9030000{ONE}{ONE}{ONE}"), &format!("010700000001000000{many}")]
        {
            assert!(is_geometry(whole), "{whole}");
            for end in (0..whole.len()).step_by(2) {
                assert!(!is_geometry(&whole[..end]), "{}", &whole[..end]);
            }
            assert!(!is_geometry(&format!("{whole}00")));
        }
        let open = ring.replace(&format!("{ONE}{ONE}{zero}{zero}"), &format!("{ONE}{ONE}{zero}{ONE}"));
        for broken in ["1234567890", "zz", &format!("0108000000{ONE}{ONE}"), &open, "010300000000FFFFFF"] {
            assert!(!is_geometry(broken), "{broken}");
        }
        assert!(!is_geometry(&"010700000001000000".repeat(100_000)));
        assert!(is_geography(&point) && !is_geography(&format!("0101000020110F0000{ONE}{ONE}")));
    }
}
