//! Removes a thing from the deployment, with everything that a push made for it. The only place that does.

use shiftwork_protocol::keys::script_key;

use super::Deployment;
use crate::push::{Claim, Kind, Thing};

impl Deployment {
    /// Removes a thing. Its record is claimed first, so that a push at the same time is refused, and deleted last, so that a
    /// removal that stops in the middle can be repeated.
    pub async fn remove(&self, thing: &Thing, claim: &Claim) -> anyhow::Result<()> {
        self.configuration.claim(thing, claim).await?;
        match thing.kind {
            Kind::Workflow => self.remove_workflow(&thing.name).await?,
            Kind::Feed | Kind::Contract => self.script_store.delete(&thing.piece()).await?,
            Kind::Connection => self.configuration.delete_connection(&thing.name).await?,
        }
        self.configuration.forget(thing).await
    }

    /// Removes what starts the workflow first, then the workflow, then its scripts. Versions of scripts stay readable for the
    /// reports of its runs until the lifecycle rule of the bucket deletes them.
    async fn remove_workflow(&self, id: &str) -> anyhow::Result<()> {
        self.schedules.delete(id).await?;
        let rules = self.rules.list().await?;
        for (key, _) in rules.iter().filter(|(_, rule)| rule.workflow_id.as_deref() == Some(id)) {
            self.rules.delete(key).await?;
        }
        self.configuration.delete_workflow(id).await?;
        let scripts = self.scripts.list(&script_key(id, "")).await?;
        let keys: Vec<String> = scripts.into_iter().map(|object| object.key).collect();
        Ok(self.scripts.delete(&keys).await?)
    }
}
