//! Stages a file with one change event on each line. It is read as a stream; a staged file is closed after 64 MiB of lines.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use shiftwork_change_data::{
    stage::{Delivery, Record},
    transport::{Offset, Partition},
};
use shiftwork_ports::{ObjectVersion, Result};
use shiftwork_protocol::{
    change::{Bytes, Replay},
    keys::UNCLAIMED,
};

use crate::{
    Loader,
    batch::{Batch, Source},
    contracts::Claims,
    lines::{Line, LineReader},
    memory,
};

/// Bytes of lines after which a staged file is closed. It depends only on the lines, so that a file that is read again is staged under
/// the same keys.
pub(crate) const FILE_BYTES: usize = 64 * 1024 * 1024;

impl Loader {
    /// Stages a file. Each line that is not a change event is refused alone.
    pub(crate) async fn file(&self, claims: &Claims, file: &ObjectVersion) -> Result<()> {
        let ObjectVersion { bucket, key, version } = file;
        let partition = Partition::s3(bucket, key, version.as_str());
        // A line of a file of unclaimed records also has the key of the record.
        let unclaimed = bucket == self.staging.name() && key.starts_with(UNCLAIMED);
        let mut batch = Batch::new(claims);
        let Some(mut object) = self.files.open(bucket, key, Some(version)).await? else {
            batch.refuse_lost(
                &partition,
                &Offset::number(0),
                "file-gone",
                "the file was deleted or overwritten before it was read",
            );
            return self.write(claims, batch.finish().map_err(memory)?).await;
        };
        let (mut lines, mut read, mut broken) = (LineReader::new(), 0, None);
        loop {
            let chunk = object.content.next().await?;
            // The end of the file is treated as a piece, because it can complete a line.
            let pieces = chunk
                .iter()
                .flat_map(|chunk| LineReader::pieces(chunk).map(Some))
                .chain(chunk.is_none().then_some(None));
            for piece in pieces {
                let fed = match piece {
                    Some(piece) => lines.feed(piece),
                    None => lines.end(),
                };
                while let Some(line) = lines.next() {
                    read = line.number;
                    take(&mut batch, &partition, &line, unclaimed)?;
                    if batch.bytes >= self.file_bytes {
                        let whole = std::mem::replace(&mut batch, Batch::new(claims));
                        self.write(claims, whole.finish().map_err(memory)?).await?;
                    }
                }
                if fed.is_err() {
                    broken = fed.err();
                    break;
                }
            }
            if chunk.is_none() || broken.is_some() {
                break;
            }
        }
        if let Some(error) = broken {
            let reason = format!("the file cannot be decompressed: {error}; the lines before this one are staged");
            batch.refuse_lost(&partition, &Offset::number(read + 1), "broken-file", &reason);
        }
        self.write(claims, batch.finish().map_err(memory)?).await
    }
}

fn take(batch: &mut Batch<'_>, partition: &Partition, line: &Line<'_>, unclaimed: bool) -> Result<()> {
    let offset = Offset::number(line.number);
    let Some(text) = line.text else {
        batch.refuse_lost(partition, &offset, "too-long", "the line is longer than 32 MiB");
        return Ok(());
    };
    let record = if unclaimed { unclaimed_record(text) } else { None };
    let (value, key, first) = match &record {
        None => (text, None, None),
        Some(Unclaimed { value, key, partition, offset }) => {
            (value.as_slice(), key.as_deref(), Some(Delivery { partition, offset }))
        }
    };
    let record = Record { value, key, offset: &offset };
    batch.take(Source { partition, record, first }).map_err(memory)
}

/// A record on a line of a file of unclaimed records, with the place at which it was first delivered.
struct Unclaimed {
    value: Vec<u8>,
    key: Option<Vec<u8>>,
    partition: Partition,
    offset: Offset,
}

/// The record on a line of a file of unclaimed records. `None` if the line does not have this form; it is then staged as it is, and
/// refused.
fn unclaimed_record(line: &[u8]) -> Option<Unclaimed> {
    let Replay { partition, offset, key, record: Bytes::Base64(record) } = serde_json::from_slice(line).ok()? else {
        return None;
    };
    Offset::sequence_number(&offset)?;
    Some(Unclaimed {
        value: BASE64.decode(record).ok()?,
        key: key.and_then(|key| BASE64.decode(key).ok()),
        partition: Partition::from_text(&partition),
        offset: Offset::from_text(&offset),
    })
}
