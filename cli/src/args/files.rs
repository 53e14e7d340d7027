//! The arguments of `files` and its subcommands.

use clap::{Args as ClapArgs, Subcommand};
use shiftwork_protocol::file::FileStatus;

/// Arguments of `files`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Files {
    /// The subcommand; without one, `files` lists files.
    #[command(subcommand)]
    pub command: Option<FilesCommand>,
    /// Name of the feed [default: a summary of all feeds]
    pub feed: Option<String>,
    /// Show only files with this status: received, batched, processing, processed, failed, quarantined
    #[arg(long, value_parser = file_status)]
    pub status: Option<FileStatus>,
    /// Show only files whose key starts with this prefix
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Maximum number of files to show, newest first
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: usize,
}

/// The subcommands of `files`.
#[derive(Debug, Subcommand)]
pub enum FilesCommand {
    /// Load files again that failed or were quarantined
    Retry(FilesRetry),
    /// Load files again that were processed
    Reload(FilesReload),
    /// Register files that landed before event notifications of the bucket were enabled
    Backfill(FilesBackfill),
    /// Compare the registered files of a feed with its bucket, and record what lost events said
    Reconcile(FilesReconcile),
}

/// Arguments of `files retry`.
#[derive(Debug, ClapArgs)]
pub struct FilesRetry {
    /// Name of the feed
    pub feed: String,
    /// Retry only files with this status: failed, quarantined
    #[arg(long, value_parser = file_status)]
    pub status: Option<FileStatus>,
    /// Retry only files whose key starts with this prefix
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// List the files without retrying them
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `files reload`.
#[derive(Debug, ClapArgs)]
pub struct FilesReload {
    /// Name of the feed
    pub feed: String,
    /// Load all processed files whose key starts with this prefix
    #[arg(long)]
    pub prefix: String,
    /// Confirm that the rows of these files may be loaded a second time; without it the files are only listed
    #[arg(long)]
    pub yes: bool,
}

/// Arguments of `files backfill`.
#[derive(Debug, ClapArgs)]
pub struct FilesBackfill {
    /// The bucket, optionally with a key prefix
    #[arg(value_name = "BUCKET[/PREFIX]")]
    pub place: String,
    /// Start after this key
    #[arg(long, value_name = "KEY")]
    pub after: Option<String>,
    /// Also register files that no feed claims
    #[arg(long)]
    pub unclaimed: bool,
}

/// Arguments of `files reconcile`.
#[derive(Debug, ClapArgs)]
pub struct FilesReconcile {
    /// Name of the feed
    pub feed: String,
    /// Compare only files whose key starts with this prefix
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Register files that are not registered or changed, and record files that are gone
    #[arg(long)]
    pub fix: bool,
    /// Print the comparison as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

fn file_status(text: &str) -> Result<FileStatus, String> {
    let known = FileStatus::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
    known.ok_or_else(|| "expected one of: received, batched, processing, processed, failed, quarantined".into())
}
