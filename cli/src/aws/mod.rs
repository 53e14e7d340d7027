//! A deployment of shiftwork, found through the outputs of its stack. Only this module uses the AWS SDK.

mod changes;
mod configuration;
mod documents;
mod landing;
mod location;
mod outputs;
mod removal;
mod schedules;
mod scripts;
mod trigger;
mod watcher;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::Context as _;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_types::SdkConfig;
use shiftwork_aws::{
    client::{Aws, Flags},
    executions::StepFunctionsExecutions,
    files::DynamoRegister,
    ledger::{DynamoLedger, Tables},
    objects::S3Objects,
    rules::TriggerRules,
};
use shiftwork_feeds::Feed;
use shiftwork_planner::{read_file, read_item};
use shiftwork_ports::{
    Bucket, Clock, Executions, FileRegister, Ledger, SystemClock,
    scripts::{etags, newest},
};
use shiftwork_protocol::{
    Connection, RunRecord,
    keys::{CONTRACTS, FEEDS, SCRIPTS},
};

pub use changes::{Changes, DeadLetter, UnclaimedFile};
pub use documents::{documents, scripts};
pub use landing::{Landing, Listed, Page};
pub use location::Location;
pub use outputs::Outputs;
pub use trigger::Trigger;
pub use watcher::Watcher;

use crate::{
    args::Target,
    circles::Deployed,
    push::{self, Present, Record, Thing},
};

/// A deployment, with a client for each of its resources.
pub struct Deployment {
    /// Account, Region and stack.
    pub location: Location,
    /// The outputs of the stack.
    pub outputs: Outputs,
    /// The ledger of runs and jobs.
    pub ledger: Arc<dyn Ledger>,
    /// Step Functions executions of runs.
    pub executions: Arc<dyn Executions>,
    /// Read access to scripts.
    pub scripts: Bucket,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The trigger function, which starts runs.
    pub trigger: Trigger,
    /// The schema-watcher function, which adds new columns.
    pub watcher: Watcher,
    /// Change data that needs a replay.
    pub changes: Changes,
    /// The register of the files of feeds.
    pub register: Arc<dyn FileRegister>,
    /// The rules of the triggers of workflows.
    pub rules: TriggerRules,
    /// The buckets in which files land.
    pub landing: Landing,
    runs: DynamoLedger,
    script_store: scripts::Store,
    configuration: configuration::Table,
    schedules: schedules::Group,
    config: SdkConfig,
}

impl Deployment {
    /// Finds the deployment of a stack.
    pub async fn find(target: &Target) -> anyhow::Result<Self> {
        let config = configuration_of(target).await?;
        let (outputs, account) = outputs::read(&config, &target.stack).await?;
        let tables = Tables {
            workflow_audit: outputs.workflow_audit_table.clone(),
            job_audit: outputs.job_audit_table.clone(),
            leases: outputs.lease_table.clone(),
        };
        let ledger = DynamoLedger::new(&config, tables);
        Ok(Self {
            location: Location::new(&config, &account, Some(&target.stack)),
            ledger: Arc::new(ledger.clone()),
            executions: Arc::new(StepFunctionsExecutions::new(&config, &outputs.run_state_machine)),
            scripts: Bucket::new(Arc::new(S3Objects::new(&config)), &outputs.scripts_bucket),
            clock: Arc::new(SystemClock),
            trigger: Trigger::new(&config, &outputs.trigger_function),
            watcher: Watcher::new(&config, &outputs.schema_watcher_function),
            changes: Changes::new(&config, &outputs),
            register: Arc::new(DynamoRegister::new(&config, &outputs.file_audit_table)),
            rules: TriggerRules::new(
                &config,
                &target.stack,
                &outputs.event_bus,
                &outputs.trigger_function_arn,
                &outputs.event_dead_letter_queue_arn,
            ),
            landing: Landing::new(&config),
            runs: ledger,
            script_store: scripts::Store::new(&config, &outputs.scripts_bucket),
            configuration: configuration::Table::new(&config, &outputs.config_table),
            schedules: schedules::Group::new(&config, &outputs),
            outputs,
            config,
        })
    }

    /// The newest runs of a workflow, newest first.
    pub async fn runs_of(&self, workflow_id: &str, most: u16) -> anyhow::Result<Vec<RunRecord>> {
        Ok(self.runs.runs_of(workflow_id, most).await?)
    }

    /// Ids of all pushed workflows.
    pub async fn workflow_ids(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.configuration.read().await?.workflows.into_keys().collect())
    }

    /// The workflows and feeds of the deployment that can be read.
    pub async fn deployed(&self) -> anyhow::Result<Deployed> {
        let workflows = self.configuration.read().await?.workflows.into_values();
        let workflows = workflows.filter_map(|item| shiftwork_planner::workflow(&read_item(item)).ok()).collect();
        let mut feeds = Vec::new();
        for key in etags(&self.scripts, FEEDS).await?.into_keys() {
            let Some(feed) = newest(&self.scripts, &key).await? else { continue };
            feeds.extend(read_file(&key, &feed.text).and_then(|doc| Feed::read(&doc)).ok());
        }
        Ok(Deployed { workflows, feeds })
    }

    /// The event buses of the rules of triggers, for messages.
    pub fn buses(&self) -> String {
        match self.outputs.event_bus.as_str() {
            "default" => "the default bus".into(),
            own => format!("the default bus and the bus {own}"),
        }
    }

    /// ARN of the caller.
    pub async fn caller(&self) -> anyhow::Result<String> {
        Ok(location::caller(&self.config).await?.arn)
    }

    /// The deployed resources that a push compares. `scripts` contains the S3 keys whose content is compared.
    pub async fn present(&self, scripts: impl IntoIterator<Item = String>) -> anyhow::Result<Present> {
        let (items, schedules, stored) =
            futures::try_join!(self.configuration.read(), self.schedules.read(), self.stored())?;
        // Contracts and feeds without a file are compared too: a push with --prune deletes only what the checkout has seen.
        let others = stored.iter().filter(|key| key.starts_with(CONTRACTS) || key.starts_with(FEEDS)).cloned();
        let compared: BTreeSet<String> = scripts.into_iter().chain(others).collect();
        let feeds = stored.iter().filter(|key| key.starts_with(FEEDS)).cloned();
        let (scripts, feeds) = futures::try_join!(self.script_store.hashes(compared), self.script_store.texts(feeds))?;
        let Items { workflows, connections, records } = items;
        let started_by_feeds = push::started_by_feeds(&feeds);
        Ok(Present { scripts, stored, workflows, started_by_feeds, connections, schedules, records })
    }

    /// Keys of all scripts, contracts and feeds.
    async fn stored(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut keys = BTreeSet::new();
        for prefix in [SCRIPTS, CONTRACTS, FEEDS] {
            keys.extend(etags(&self.scripts, prefix).await?.into_keys());
        }
        Ok(keys)
    }

    /// Makes the changes that [`crate::push::changes`] found, in order. Every changed thing is claimed before anything is
    /// written: if another push changed one of them in the meantime, this push changes nothing.
    pub async fn apply(&self, changes: &push::Changes) -> anyhow::Result<()> {
        for (thing, claim) in changes.claims.iter().filter(|(thing, _)| !changes.things_gone.contains(*thing)) {
            self.configuration.claim(thing, claim).await?;
        }
        for key in &changes.rules.gone {
            self.rules.delete(key).await?;
        }
        for (name, connection) in &changes.connections {
            self.configuration.put_connection(name, connection).await?;
        }
        self.script_store.put(&changes.scripts).await?;
        for workflow in changes.workflows.values() {
            self.configuration.put_workflow(workflow).await?;
        }
        for (key, rule) in &changes.rules.put {
            self.rules.put(key, rule).await?;
        }
        for (workflow_id, schedule) in &changes.schedules {
            self.schedules
                .put(workflow_id, schedule)
                .await
                .with_context(|| format!("the schedule of {workflow_id}"))?;
        }
        for workflow_id in &changes.schedules_gone {
            self.schedules.delete(workflow_id).await?;
        }
        let scripts: Vec<String> = changes.scripts_gone.iter().cloned().collect();
        self.scripts.delete(&scripts).await?;
        // Workflows are deleted before the feeds, contracts and connections that they use, so that no run starts without them.
        for thing in &changes.things_gone {
            if let Some(claim) = changes.claims.get(thing) {
                self.remove(thing, claim).await?;
            }
        }
        Ok(())
    }

    /// The desired schedule of a workflow in this deployment.
    pub fn schedule(
        &self,
        workflow: &shiftwork_protocol::Workflow,
        schedule: &shiftwork_protocol::workflow::Schedule,
    ) -> crate::push::Timetable {
        self.schedules.timetable(workflow, schedule)
    }
}

/// The configuration of all AWS clients.
async fn configuration_of(target: &Target) -> anyhow::Result<SdkConfig> {
    let flags = Flags {
        profile: target.profile.as_deref(),
        region: target.region.as_deref(),
        endpoint_url: target.endpoint_url.as_deref(),
    };
    let config = Aws::from_terminal(flags).await?.config().clone();
    if config.region().is_none() {
        anyhow::bail!("no AWS Region is set: use --region, set AWS_REGION, or set `region` in the profile");
    }
    Ok(config)
}

/// All items of the configuration table.
struct Items {
    workflows: BTreeMap<String, serde_json::Value>,
    connections: BTreeMap<String, Connection>,
    records: BTreeMap<Thing, Record>,
}

/// An AWS error as an error for the user: the API call, the resource, and the message of AWS.
fn failed<E, R>(call: &str, on: &str, error: &SdkError<E, R>) -> anyhow::Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let words = match error.as_service_error() {
        Some(error) => {
            let code = error.code().unwrap_or("an error without a code");
            format!("{code}: {}", error.message().unwrap_or("no message"))
        }
        None => shiftwork_aws::error_chain(error),
    };
    anyhow::anyhow!("{call} on {on}: {words}")
}
