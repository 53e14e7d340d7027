use jiff::Timestamp;

use super::fresh;
use crate::Sweeps;

/// Checks [`Sweeps`]. `is_watched` returns whether a run has a schedule.
pub async fn sweeps(sweeps: &dyn Sweeps, is_watched: impl AsyncFn(&str) -> bool) {
    // The second id is longer than the name of a schedule may be.
    for run in [fresh("run"), fresh(&"r".repeat(60))] {
        assert_eq!(sweeps.unwatch(&run).await, Ok(()), "a run that is not watched");
        for _ in 0..2 {
            assert_eq!(sweeps.watch(&run, Timestamp::now()).await, Ok(()));
            assert!(is_watched(&run).await, "{run}");
        }
        for _ in 0..2 {
            assert_eq!(sweeps.unwatch(&run).await, Ok(()));
            assert!(!is_watched(&run).await, "{run}");
        }
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_sweeps_in_memory_conform() {
        let sweeps = crate::fake::MemorySweeps::default();
        super::sweeps(&sweeps, async |run| sweeps.watched().iter().any(|watched| watched == run)).await;
    }
}
