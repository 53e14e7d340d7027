//! Upper limits for the speed of any decoder: reading every byte once, and compressing the output.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Result;
use flate2::write::GzEncoder;

/// Size of a read in bytes, the same as that of the stager.
const BLOCK: usize = 128 << 10;

/// Counts line ends and validates UTF-8, both with SIMD. Returns the number of lines.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub(crate) fn skip(path: &Path) -> Result<u64> {
    let mut file = File::open(path)?;
    let mut block = vec![0; BLOCK];
    let (mut lines, mut torn) = (0, 0_u64);
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            // Printed, so that the compiler does not remove the unused computation.
            println!("{lines} lines, {torn} blocks that are not UTF-8 or end within a character");
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', &block[..read]).count() as u64;
        torn += u64::from(simdutf8::basic::from_utf8(&block[..read]).is_err());
    }
}

/// Codecs of staged files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Codec {
    Zstd,
    Gzip,
}

/// Compresses a file at level 1.
///
/// # Errors
/// Returns an error if a file cannot be read or written.
pub(crate) fn compress(codec: Codec, from: &Path, to: &Path) -> Result<()> {
    let mut from = File::open(from)?;
    let to = File::create(to)?;
    match codec {
        Codec::Zstd => {
            let mut encoder = zstd::Encoder::new(to, 1)?;
            copy(&mut from, |bytes| encoder.write_all(bytes))?;
            encoder.finish()?;
        }
        Codec::Gzip => {
            let mut encoder = GzEncoder::new(to, flate2::Compression::fast());
            copy(&mut from, |bytes| encoder.write_all(bytes))?;
            encoder.finish()?;
        }
    }
    Ok(())
}

fn copy(from: &mut File, mut write: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        let read = from.read(&mut block)?;
        if read == 0 {
            return Ok(());
        }
        write(&block[..read])?;
    }
}
