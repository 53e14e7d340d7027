//! The table contracts of the scripts bucket, and the contracts that claim a table.

use std::sync::Arc;

use jiff::SignedDuration;
use shiftwork_change_data::{compiled::Compiled, contract, event::Identity};
use shiftwork_ports::{Bucket, Catalog, ScriptText};

/// How long contracts are cached. Values of a column that is pushed in the meantime are staged in `dw_md_missing_data`, and the load
/// moves them into the column.
const CACHED_FOR: SignedDuration = SignedDuration::from_secs(10);

/// The cached contracts.
pub(crate) type Contracts = Catalog<Compiled, Claims>;

/// The contracts of the scripts bucket.
pub(crate) fn contracts(scripts: Bucket) -> Contracts {
    Catalog::new(scripts, shiftwork_protocol::keys::CONTRACTS, CACHED_FOR, read, |contracts| Claims { contracts })
}

/// The valid contracts, compiled.
#[derive(Debug)]
pub(crate) struct Claims {
    contracts: Vec<Arc<Compiled>>,
}

impl Claims {
    pub(crate) fn contract(&self, index: usize) -> &Compiled {
        &self.contracts[index]
    }

    /// Indexes of the contracts that claim the rows of a table. A table may have several contracts, such as one for the current rows and
    /// one for the history.
    pub(crate) fn of(&self, identity: &Identity) -> Vec<usize> {
        let claims = |contract: &Compiled| identity.is_of(contract.contract().source());
        (0..self.contracts.len()).filter(|index| claims(&self.contracts[*index])).collect()
    }

    /// Whether no other contract can claim a table that this contract claims.
    pub(crate) fn is_alone(&self, index: usize) -> bool {
        let table = |index: usize| self.contracts[index].contract().source().table.rsplit('.').next();
        (0..self.contracts.len()).filter(|other| table(*other) == table(index)).count() == 1
    }
}

/// Reads a contract. `None` if it is not valid: its records then count as unclaimed and can be replayed, and the records of the other
/// contracts are staged. `shiftwork push` refuses a contract that is not valid.
fn read(ScriptText { key, text, .. }: &ScriptText) -> Option<Compiled> {
    match contract::read(key, text) {
        Ok(contract) => Some(Compiled::new(contract)),
        Err(problems) => {
            let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            tracing::error!(
                key,
                problems,
                "the contract is not valid, so its records count as unclaimed: fix it and push it again"
            );
            None
        }
    }
}
