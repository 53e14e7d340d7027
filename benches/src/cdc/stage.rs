//! Stages a file of events into one compressed file, as cdc-loader does with an object in S3.

use std::fs::File;
use std::io::{BufWriter, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use shiftwork_change_data::compiled::Compiled;
use shiftwork_change_data::contract::read;
use shiftwork_change_data::stage::{Record, Stager, compressed};
use shiftwork_change_data::transport::{Offset, Partition};

use crate::{contracts, generate::Form};

/// Size of a read in bytes. The buffer grows only for longer lines.
const BLOCK: usize = 128 << 10;

/// Stages a file of a format. `full`: use only the full decoder. `plain`: do not compress.
///
/// # Errors
/// Returns an error if a file cannot be read or written.
pub(crate) fn run(events: &Path, output: &Path, form: Form, full: bool, plain: bool) -> Result<()> {
    let contract = read("orders.yaml", &contracts::of(form)).map_err(|problems| anyhow!("{problems:?}"))?;
    let compiled = Compiled::new(contract);
    let file = File::create(output).with_context(|| output.display().to_string())?;
    if plain {
        stage(&compiled, events, BufWriter::with_capacity(BLOCK, file), full)?.flush()?;
    } else {
        stage(&compiled, events, compressed(file)?, full)?.finish()?;
    }
    Ok(())
}

fn stage<W: Write>(compiled: &Compiled, events: &Path, sink: W, full: bool) -> Result<W> {
    let mut file = File::open(events).with_context(|| events.display().to_string())?;
    let mut stager = Stager::new(compiled, Partition::s3("landing", "orders.ndjson", "1"), sink);
    if full {
        stager = stager.without_fast_path();
    }
    let (mut block, mut held, mut number) = (vec![0; BLOCK], 0, 0);
    loop {
        if held == block.len() {
            block.resize(2 * held, 0);
        }
        let read = file.read(&mut block[held..])?;
        if read == 0 {
            break;
        }
        let (old, new) = (held, held + read);
        held = new;
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', &block[old..new]) {
            let end = old + end;
            stager.record(Record { value: &block[begin..end], key: None, offset: &Offset::number(number) })?;
            begin = end + 1;
            number += 1;
        }
        block.copy_within(begin..held, 0);
        held -= begin;
        if held < BLOCK && block.len() > BLOCK {
            block.truncate(BLOCK);
            block.shrink_to_fit();
        }
    }
    if held > 0 {
        bail!("{} ends within a line", events.display());
    }
    let finished = stager.finish();
    println!("{:?}", finished.counts);
    Ok(finished.sink)
}
