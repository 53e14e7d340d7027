//! The transaction that loads staged files and promotes their rows.

use shiftwork_change_data::contract::PromoteKind;
use shiftwork_config::IamRole;
use shiftwork_sql::quote_literal;

use crate::layout::{LONGEST_STATEMENT, MOST_STATEMENTS, list, sql};
use crate::{Promotion, PromotionError, event_names, transport_names};

/// Days that the watermarks of partitions that never grow are kept, at least.
const WATERMARKS_KEPT: u32 = 30;

/// What a load takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Load {
    /// Count of contract columns that files were staged with, and the URL (`s3://bucket/key`) of the manifest that lists them. One
    /// manifest a layout; the files of a partition that are in none of them come after those that are.
    pub groups: Vec<(usize, String)>,
    /// Whom COPY reads the files as.
    pub iam_role: IamRole,
    /// Region of the bucket, where it is not the cluster's.
    pub region: Option<String>,
}

impl Promotion<'_> {
    /// The statements of one transaction, in order (`BatchExecuteStatement` without `ExecutionMode`): none where there is nothing to
    /// load. The tables of [`ddl`](Self::ddl) must be there.
    ///
    /// # Errors
    /// Files that were staged by a newer contract; more layouts than a batch has statements for; a table too wide for a statement, which
    /// lists its columns twice in 100 KB.
    pub fn load(&self, load: &Load) -> Result<Vec<String>, PromotionError> {
        if load.groups.is_empty() {
            return Ok(Vec::new());
        }
        let mut groups = load.groups.clone();
        groups.sort();
        if let Some((columns, url)) = groups.iter().find(|(columns, _)| *columns > self.columns.len()) {
            return Err(self.error(format!(
                "{url} lists files with {columns} columns, and the contract has {}: load them with the newer contract",
                self.columns.len()
            )));
        }
        let mut promotion = Vec::new();
        if self.takes_latest_non_null() {
            promotion.extend(self.nulls_are_gaps());
        }
        promotion.extend(self.promote());
        // What the frame takes beside the lifts of old layouts.
        let frame = 6 + groups.len() + promotion.len() + usize::from(self.prunes_watermarks());
        let old = groups.iter().filter(|(columns, _)| *columns < self.columns.len()).count();
        let mut lifts = MOST_STATEMENTS.saturating_sub(frame);
        let mut out = vec![self.lock(), self.beyond_the_fence(), self.empty()];
        for (at, (columns, manifest)) in groups.iter().enumerate() {
            out.push(self.copy(*columns, manifest, load));
            let newer = &self.columns[*columns..];
            if !newer.is_empty() {
                let most = lifts / old.saturating_sub(at).max(1);
                let statements = self.backfill(newer, most);
                lifts = lifts.saturating_sub(statements.len());
                out.extend(statements);
            }
        }
        out.extend(self.past_the_watermark());
        out.extend(promotion);
        out.extend(self.prune_watermarks());
        self.within_limits(out)
    }

    pub(crate) fn within_limits(&self, statements: Vec<String>) -> Result<Vec<String>, PromotionError> {
        if statements.len() > MOST_STATEMENTS {
            return Err(self.error(format!(
                "the load takes {} statements and the Data API {MOST_STATEMENTS} a batch: load fewer layouts at once",
                statements.len()
            )));
        }
        match statements.iter().find(|statement| statement.len() > LONGEST_STATEMENT) {
            None => Ok(statements),
            Some(statement) => Err(self.error(format!(
                "a statement has {} bytes and the Data API takes 100 KB: the table has too many columns ({}). It begins: {}",
                statement.len(),
                self.columns.len(),
                statement.lines().next().unwrap_or_default()
            ))),
        }
    }

    /// Makes anew the rows of the keys of the events that are in the staging table with a partition.
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
            -- One load of {table} at a time, and nothing is read before it is this one's turn. Readers are not held up.
            LOCK {staging}
            "
        ))
    }

    pub(crate) fn empty(&self) -> String {
        let staging = &self.tables.staging;
        sql(&format!(
            "
            -- TRUNCATE would commit.
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
            all => format!("-- Files from before the contract had {all} columns."),
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

    /// Drops what an earlier load has taken, and moves the watermark over the rest.
    fn past_the_watermark(&self) -> [String; 3] {
        let (staging, watermarks) = (&self.tables.staging, &self.tables.watermarks);
        let (s, w) = (staging.alias(), watermarks.alias());
        [
            sql(&format!(
                "
                -- What an earlier load has taken comes a second time.
                DELETE FROM {staging}
                USING {watermarks}
                WHERE {s}.dw_md_partition = {w}.dw_md_partition
                  AND {s}.dw_md_offset <= {w}.dw_md_offset
                "
            )),
            sql(&format!(
                "
                -- The watermark of each partition moves to the last row of this load.
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

    /// Files and replayed records are partitions of their own, so their watermarks would grow for ever. Without a key, nothing but
    /// the watermark tells a row that comes twice.
    fn prunes_watermarks(&self) -> bool {
        !self.contract.key().is_empty()
    }

    fn prune_watermarks(&self) -> Option<String> {
        let (watermarks, days) =
            (&self.tables.watermarks, self.contract.promote().tombstones_kept.max(WATERMARKS_KEPT));
        self.prunes_watermarks().then(|| {
            sql(&format!(
                "
                -- Files, replayed records and batches of a DynamoDB stream are partitions that never grow.
                DELETE FROM {watermarks}
                WHERE (dw_md_partition LIKE 's3/%' OR dw_md_partition LIKE 'replay/%' OR dw_md_partition LIKE 'dynamodb/%')
                  AND dw_md_moved_at < DATEADD(day, -{days}, SYSDATE)
                "
            ))
        })
    }
}
