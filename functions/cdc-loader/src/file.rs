//! A file of change events, one a line: read as it comes, staged in files of their own every so many bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use shiftwork_change_data::{
    stage::Record,
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

/// Bytes of lines behind which the staged files end. The cut depends on the lines alone, so that a file that is read again
/// is staged under the same names.
pub(crate) const CUT: usize = 64 * 1024 * 1024;

impl Loader {
    /// Stages a file. Lines that are no change events are refused, each for itself.
    pub(crate) async fn file(&self, claims: &Claims, file: &ObjectVersion) -> Result<()> {
        let ObjectVersion { bucket, key, version } = file;
        let partition = Partition::s3(bucket, key, version.as_str());
        // What was unclaimed carries the key of each record, where it had one.
        let unclaimed = bucket == self.staging.name() && key.starts_with(UNCLAIMED);
        let mut batch = Batch::new(claims);
        let Some(mut object) = self.files.open(bucket, key, Some(version)).await? else {
            batch.lost(
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
            // The end of the file is a piece like any other: what it completes is cut as everything before it.
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
                    if batch.bytes >= self.cut {
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
            let words = format!("the file does not unpack: {error}; the lines before are staged");
            batch.lost(&partition, &Offset::number(read + 1), "broken-file", &words);
        }
        self.write(claims, batch.finish().map_err(memory)?).await
    }
}

fn take(batch: &mut Batch<'_>, partition: &Partition, line: &Line<'_>, unclaimed: bool) -> Result<()> {
    let offset = Offset::number(line.number);
    let Some(text) = line.text else {
        batch.lost(partition, &offset, "too-long", "the line is longer than 32 MiB");
        return Ok(());
    };
    let kept = if unclaimed { kept(text) } else { None };
    let (value, key) = kept.as_ref().map_or((text, None), |(value, key)| (value.as_slice(), key.as_deref()));
    let record = Record { value, key, offset: &offset };
    batch.take(Source { partition, record }).map_err(memory)
}

/// A record as a file of unclaimed ones has it, and its key. What is no such line is taken as it is, and refused.
fn kept(line: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let Replay { key, record: Bytes::Base64(record), .. } = serde_json::from_slice(line).ok()? else { return None };
    Some((BASE64.decode(record).ok()?, key.and_then(|key| BASE64.decode(key).ok())))
}
