//! The transaction that loads staged files and promotes their rows.

use shiftwork_change_data::contract::PromoteKind;
use shiftwork_config::IamRole;
use shiftwork_sql::quote_literal;

use crate::layout::{LONGEST_STATEMENT, MOST_STATEMENTS, list, sql};
use crate::{Promotion, PromotionError, event_names, transport_names};

/// Least number of days for which the watermarks of partitions that never grow are kept.
const WATERMARKS_KEPT: u32 = 30;

/// Hours by which the time of a source can be ahead of UTC: some connectors read a local time as UTC.
const ZONES_APART: i32 = 15;

/// The parameters of a load.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Load {
    /// For each layout, the number of contract columns in its files and the URL (`s3://bucket/key`) of the manifest that lists them.
    /// A file that is in no manifest must have later offsets than the files of its partition that are.
    pub groups: Vec<(usize, String)>,
    /// The role that COPY reads the files with.
    pub iam_role: IamRole,
    /// Region of the bucket, if it differs from the cluster's.
    pub region: Option<String>,
}

impl Promotion<'_> {
    /// The statements of one transaction, in order (`BatchExecuteStatement` without `ExecutionMode`). Empty if there is nothing to
    /// load. The tables of [`ddl`](Self::ddl) must exist.
    ///
    /// # Errors
    /// Files were staged by a newer contract; there are more layouts than a batch has statements for; or a statement, which lists all
    /// columns twice, is longer than 100 KB.
    pub fn load(&self, load: &Load) -> Result<Vec<String>, PromotionError> {
        if load.groups.is_empty() {
            return Ok(Vec::new());
        }
        let mut groups = load.groups.clone();
        groups.sort();
        if let Some((columns, url)) = groups.iter().find(|(columns, _)| *columns > self.columns.len()) {
            return Err(self.error(format!(
                "{url} lists files with {columns} columns, but the contract has {}: load them with the newer contract",
                self.columns.len()
            )));
        }
        let mut promotion = Vec::new();
        if self.takes_latest_non_null() {
            promotion.extend(self.mark_nulls_as_gaps());
        }
        promotion.extend(self.promote());
        // Statements other than the backfills of old layouts.
        let frame = 7 + groups.len() + promotion.len() + usize::from(self.prunes_watermarks());
        let old = groups.iter().filter(|(columns, _)| *columns < self.columns.len()).count();
        let mut backfills = MOST_STATEMENTS.saturating_sub(frame);
        let mut out = vec![self.lock(), self.check_column_count(), self.clear_staging()];
        for (at, (columns, manifest)) in groups.iter().enumerate() {
            out.push(self.copy(*columns, manifest, load));
            let newer = &self.columns[*columns..];
            if !newer.is_empty() {
                let most = backfills / old.saturating_sub(at).max(1);
                let statements = self.backfill(newer, most);
                backfills = backfills.saturating_sub(statements.len());
                out.extend(statements);
            }
        }
        out.extend(self.skip_loaded_rows());
        out.extend(promotion);
        out.extend(self.prune_watermarks());
        self.within_limits(out)
    }

    pub(crate) fn within_limits(&self, statements: Vec<String>) -> Result<Vec<String>, PromotionError> {
        if statements.len() > MOST_STATEMENTS {
            return Err(self.error(format!(
                "the load needs {} statements, but the Data API accepts {MOST_STATEMENTS} in a batch: load fewer layouts at once",
                statements.len()
            )));
        }
        match statements.iter().find(|statement| statement.len() > LONGEST_STATEMENT) {
            None => Ok(statements),
            Some(statement) => Err(self.error(format!(
                "a statement has {} bytes, but the Data API accepts 100 KB: use fewer than {} columns, or shorter names. The statement begins: {}",
                statement.len(),
                self.columns.len(),
                statement.lines().next().unwrap_or_default()
            ))),
        }
    }

    /// Replaces the rows of the keys in the staging table whose events have a partition.
    pub(crate) fn promote(&self) -> Vec<String> {
        match self.kind() {
            PromoteKind::Type1 => self.promote_current(),
            PromoteKind::Type2 | PromoteKind::Type7 => self.promote_history(),
            PromoteKind::Append => self.promote_append(),
        }
    }

    pub(crate) fn lock(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        sql(&format!(
            "
            -- Run one load of {table} at a time: wait for the lock before reading. The lock does not block readers.
            LOCK {staging}
            "
        ))
    }

    pub(crate) fn clear_staging(&self) -> String {
        let staging = &self.tables.staging;
        sql(&format!(
            "
            -- DELETE, because TRUNCATE would commit.
            DELETE FROM {staging}
            "
        ))
    }

    fn copy(&self, columns: usize, manifest: &str, load: &Load) -> String {
        let staging = &self.tables.staging;
        let names = self.columns[..columns]
            .iter()
            .map(|column| column.name.as_str())
            .chain(event_names())
            .chain(transport_names());
        let (names, manifest) = (list(names), quote_literal(manifest));
        let comment = match self.columns.len() {
            all if all == columns => String::new(),
            all => format!("-- These files were staged before the contract had {all} columns."),
        };
        let role = load.iam_role.clause();
        let region =
            load.region.as_deref().map(|region| format!("REGION {}", quote_literal(region))).unwrap_or_default();
        sql(&format!(
            r"
            {comment}
            COPY {staging} (
                {names}
            )
            FROM {manifest}
            {role}
            {region}
            FORMAT CSV NULL AS '\\N' ZSTD MANIFEST TIMEFORMAT 'auto' DATEFORMAT 'auto' COMPUPDATE OFF
            "
        ))
    }

    /// Removes rows that an earlier load has taken, and moves the watermark to the last of the remaining rows.
    ///
    /// A topic that was deleted and created again counts its offsets from zero, below the watermark. A row that is younger than the
    /// watermark is of such a topic, or was delivered again. With a key, both can be promoted, because an event that the table has already
    /// has no effect; a row from the day before the watermark was moved can be one that the topic lost. Without a key, only a row that was
    /// certainly not there when the watermark was moved is promoted.
    ///
    /// The first statement removes, and so counts, the rows that may be of such a topic although they are too old to be promoted
    /// (`dropped_rows` of the job): with a key all rows of a topic, without a key those from after the watermark was moved.
    fn skip_loaded_rows(&self) -> [String; 4] {
        let has_key = !self.contract.key().is_empty();
        let hours = if has_key { -24 } else { ZONES_APART };
        let (staging, watermarks) = (&self.tables.staging, &self.tables.watermarks);
        let (s, w) = (staging.alias(), watermarks.alias());
        let after = if has_key { String::new() } else { format!("AND {s}.dw_md_changed_at >= {w}.dw_md_moved_at") };
        [
            sql(&format!(
                "
                -- Remove and count rows below the watermark that may be of a topic that was created again.
                DELETE FROM {staging}
                USING {watermarks}
                WHERE {s}.dw_md_partition = {w}.dw_md_partition
                  AND {s}.dw_md_offset <= {w}.dw_md_offset
                  AND {s}.dw_md_changed_at < DATEADD(hour, {hours}, {w}.dw_md_moved_at)
                  AND {s}.dw_md_partition LIKE 'kafka/%'
                  {after}
                "
            )),
            sql(&format!(
                "
                -- Remove rows that an earlier load has taken, but no younger rows: their topic was created again.
                DELETE FROM {staging}
                USING {watermarks}
                WHERE {s}.dw_md_partition = {w}.dw_md_partition
                  AND {s}.dw_md_offset <= {w}.dw_md_offset
                  AND {s}.dw_md_changed_at < DATEADD(hour, {hours}, {w}.dw_md_moved_at)
                "
            )),
            sql(&format!(
                "
                -- Move the watermark of each partition to the last row of this load.
                DELETE FROM {watermarks}
                USING {staging}
                WHERE {w}.dw_md_partition = {s}.dw_md_partition
                "
            )),
            sql(&format!(
                "
                INSERT INTO {watermarks} (
                    dw_md_partition, dw_md_offset, dw_md_moved_at
                )
                SELECT dw_md_partition, MAX(dw_md_offset), SYSDATE
                FROM {staging}
                GROUP BY dw_md_partition
                "
            )),
        ]
    }

    /// Whether watermarks are deleted after some time. Each file and each replayed record is a partition, so the number of watermarks
    /// would grow without limit. Without a key they must be kept, because only they reveal a row that is loaded twice.
    fn prunes_watermarks(&self) -> bool {
        !self.contract.key().is_empty()
    }

    fn prune_watermarks(&self) -> Option<String> {
        let (watermarks, days) =
            (&self.tables.watermarks, self.contract.promote().tombstones_kept.max(WATERMARKS_KEPT));
        self.prunes_watermarks().then(|| {
            sql(&format!(
                "
                -- Delete old watermarks of partitions that never grow: files, replayed records, batches of a DynamoDB stream.
                DELETE FROM {watermarks}
                WHERE (dw_md_partition LIKE 's3/%' OR dw_md_partition LIKE 'replay/%' OR dw_md_partition LIKE 'dynamodb/%')
                  AND dw_md_moved_at < DATEADD(day, -{days}, SYSDATE)
                "
            ))
        })
    }
}
