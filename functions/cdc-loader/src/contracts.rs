//! The table contracts in the scripts bucket, and which of them claims a row.

use std::sync::Arc;

use jiff::SignedDuration;
use shiftwork_change_data::{compiled::Compiled, contract, event::Identity};
use shiftwork_ports::{Bucket, Catalog, ScriptText};

/// How long a warm function believes what it has read. Until then, a column that was pushed since is in `dw_md_missing_data`,
/// and the load lifts it out.
const BELIEVED_FOR: SignedDuration = SignedDuration::from_secs(10);

/// The contracts.
pub(crate) type Contracts = Catalog<Compiled, Claims>;

/// The contracts of the scripts bucket.
pub(crate) fn contracts(scripts: Bucket) -> Contracts {
    Catalog::new(scripts, shiftwork_protocol::keys::CONTRACTS, BELIEVED_FOR, read, |contracts| Claims { contracts })
}

/// The contracts that are valid, ready for events.
#[derive(Debug)]
pub(crate) struct Claims {
    contracts: Vec<Arc<Compiled>>,
}

impl Claims {
    pub(crate) fn contract(&self, index: usize) -> &Compiled {
        &self.contracts[index]
    }

    /// Those that claim the rows of a table. More than one is allowed: a current and a historical table of one source.
    pub(crate) fn of(&self, identity: &Identity) -> Vec<usize> {
        let claims = |contract: &Compiled| identity.is_of(contract.contract().source());
        (0..self.contracts.len()).filter(|index| claims(&self.contracts[*index])).collect()
    }

    /// Whether no other contract can claim what this one claims.
    pub(crate) fn is_alone(&self, index: usize) -> bool {
        let table = |index: usize| self.contracts[index].contract().source().table.rsplit('.').next();
        (0..self.contracts.len()).filter(|other| table(*other) == table(index)).count() == 1
    }
}

/// A contract that is not valid must not keep the records of the others from being staged: its own count as unclaimed, and can
/// be replayed. `shiftwork push` refuses such a contract.
fn read(ScriptText { key, text, .. }: &ScriptText) -> Option<Compiled> {
    match contract::read(key, text) {
        Ok(contract) => Some(Compiled::new(contract)),
        Err(problems) => {
            let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            tracing::error!(key, problems, "the contract is not valid: its records count as unclaimed");
            None
        }
    }
}
