use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use crate::run::Measured;

/// The table: one row per function, each compared with the floor (the first row) by its fastest start, which the load
/// of the machine affects least.
pub(crate) fn render(measured: &[Measured]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "process start to first response",
        "fastest",
        "median",
        "p90",
        "CPU time",
        "relative to no-op",
        "peak memory",
        "zip",
        "AWS calls",
        "result",
    ]);
    let floor = measured.first().map(|one| one.fastest);
    for one in measured {
        table.add_row([
            one.name.clone(),
            milliseconds(one.fastest),
            milliseconds(one.median),
            milliseconds(one.p90),
            one.cpu.map_or_else(|| "unknown".to_owned(), milliseconds),
            floor.map_or_else(String::new, |floor| format!("{:.1}x", one.fastest.as_secs_f64() / floor.as_secs_f64())),
            one.peak.map_or_else(|| "unknown".to_owned(), mebibytes),
            one.zip.map_or_else(|| "-".to_owned(), megabytes),
            one.calls.to_string(),
            one.failure.clone().unwrap_or_else(|| "success".to_owned()),
        ]);
    }
    for column in 1..9 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[allow(clippy::cast_precision_loss, reason = "a size to one decimal")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[allow(clippy::cast_precision_loss, reason = "a size to one decimal")]
fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
