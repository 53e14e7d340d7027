//! The table contracts, as they lie in the scripts bucket: read once, and looked at again every few seconds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use shiftwork_change_data::{compiled::Compiled, contract, event::Identity};
use shiftwork_ports::{Result, Scripts};

/// How long a warm function goes by what it has read. A column that was pushed since is in `dw_md_missing_data` until then,
/// and lifted out of it by the load.
const FRESH: SignedDuration = SignedDuration::from_secs(10);

/// Reads contracts.
pub(crate) struct Contracts {
    scripts: Arc<dyn Scripts>,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    at: Option<Timestamp>,
    tags: BTreeMap<String, String>,
    claims: Arc<Claims>,
}

/// The contracts that read, ready for events.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    contracts: Vec<Arc<Compiled>>,
    keys: Vec<String>,
}

impl Claims {
    pub(crate) fn contract(&self, index: usize) -> &Compiled {
        &self.contracts[index]
    }

    /// Those that claim the rows of a table. More than one is no mistake: a current and a historical table of one source.
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

impl Contracts {
    pub(crate) fn new(scripts: Arc<dyn Scripts>) -> Self {
        Self { scripts, read: Mutex::default() }
    }

    /// Every contract that reads, as of some seconds ago.
    pub(crate) async fn recent(&self, now: Timestamp) -> Result<Arc<Claims>> {
        let known = {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.at.is_some_and(|at| now.duration_since(at) < FRESH).then(|| Arc::clone(&read.claims))
        };
        match known {
            Some(claims) => Ok(claims),
            None => self.newest(now).await,
        }
    }

    /// Every contract that reads, as of now.
    pub(crate) async fn newest(&self, now: Timestamp) -> Result<Arc<Claims>> {
        let (was, known) = {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            (read.tags.clone(), Arc::clone(&read.claims))
        };
        let tags = self.scripts.tags(shiftwork_planner::CONTRACTS).await?;
        let claims = if tags == was { known } else { Arc::new(self.read(&tags, &was, &known).await?) };
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) =
            Read { at: Some(now), tags, claims: Arc::clone(&claims) };
        Ok(claims)
    }

    /// Reads what is new or another, and keeps the rest.
    async fn read(
        &self,
        tags: &BTreeMap<String, String>,
        was: &BTreeMap<String, String>,
        known: &Claims,
    ) -> Result<Claims> {
        let mut claims = Claims::default();
        for (key, tag) in tags {
            let same = known.keys.iter().position(|known| known == key && was.get(key) == Some(tag));
            let contract = match same {
                Some(index) => Some(Arc::clone(&known.contracts[index])),
                None => self.read_one(key).await?.map(Arc::new),
            };
            if let Some(contract) = contract {
                claims.contracts.push(contract);
                claims.keys.push(key.clone());
            }
        }
        Ok(claims)
    }

    /// One that does not read must not keep the others' records from being staged: its own are nobody's, and can be
    /// replayed. `shiftwork push` refuses such a contract.
    async fn read_one(&self, key: &str) -> Result<Option<Compiled>> {
        let Some(script) = self.scripts.newest(key).await? else { return Ok(None) };
        match contract::read(key, &script.text) {
            Ok(contract) => Ok(Some(Compiled::new(contract))),
            Err(problems) => {
                let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                tracing::error!(key, problems, "the contract is not valid: its records count as unclaimed");
                Ok(None)
            }
        }
    }
}
