//! `shiftwork replay`: sends change events to cdc-loader again that were refused, or that no table contract claimed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal as _,
};

use console::style;
use serde_json::Value;
use shiftwork_change_data::contract::{self, TableContract};
use shiftwork_ports::scripts;
use shiftwork_protocol::{
    change::{Bytes, Refused, ReplayRequest},
    keys::table_of_unclaimed,
};

use crate::{Deployment, Outcome, args, words};

/// What to do with a message of the dead-message queue.
#[derive(Debug, PartialEq, Eq)]
enum MessageAction {
    /// Send this body to cdc-loader.
    Send(String),
    /// Leave the message in the queue: it belongs to another table contract than the requested one.
    Leave,
    /// Print this text, which says what the user has to do, and leave the message in the queue.
    Report(String),
}

/// Replays events, and prints their number.
pub async fn replay(deployment: &Deployment, asked: &args::Replay) -> anyhow::Result<Outcome> {
    if asked.unclaimed { unclaimed(deployment, asked).await } else { refused(deployment, asked).await }
}

async fn refused(deployment: &Deployment, asked: &args::Replay) -> anyhow::Result<Outcome> {
    let started = deployment.clock.now();
    let (mut seen, mut left, mut sent, mut reported) = (BTreeSet::new(), Vec::new(), 0, 0);
    loop {
        let messages = deployment.changes.receive().await?;
        let fresh: Vec<_> = messages.into_iter().filter(|message| seen.insert(message.id.clone())).collect();
        if fresh.is_empty() {
            break;
        }
        for message in fresh {
            // The message arrived after the replay started, for example because cdc-loader refused its event again.
            if message.sent >= started {
                left.push(message);
                continue;
            }
            match action(&message.body, asked.contract.as_deref()) {
                MessageAction::Send(body) => {
                    sent += 1;
                    if asked.dry_run {
                        println!("{} {}", style("+").green(), outline(&message.body));
                        left.push(message);
                    } else {
                        deployment.changes.send_again(&body, &message).await?;
                    }
                }
                MessageAction::Leave => left.push(message),
                MessageAction::Report(what) => {
                    reported += 1;
                    println!("{} {what}", style("!").yellow());
                    left.push(message);
                }
            }
        }
    }
    for message in &left {
        deployment.changes.put_back(message).await?;
    }
    let verb = if asked.dry_run { "to send" } else { "sent" };
    println!("{} {verb} to the loader, {} left in the queue", words::plural(sent, "message"), left.len());
    Ok(if reported == 0 { Outcome::Done } else { Outcome::Failed })
}

/// Decides about a message of the dead-message queue; `wanted` is the requested table contract, `None` for all.
fn action(body: &str, wanted: Option<&str>) -> MessageAction {
    let Ok(message) = serde_json::from_str::<Value>(body) else {
        return MessageAction::Report(format!("a message that is not valid JSON: {}", cut(body)));
    };
    if let Ok(Refused { refused, contract, kind, reason }) = serde_json::from_value(message.clone()) {
        return match refused.record {
            _ if wanted.is_some() && contract.as_deref() != wanted => MessageAction::Leave,
            Bytes::Lost {} => MessageAction::Report(format!(
                "{} {}: {kind}: {reason}; fix its file and send it again",
                refused.partition, refused.offset
            )),
            Bytes::Base64(_) | Bytes::Object(_) => match serde_json::to_string(&ReplayRequest { replay: refused }) {
                Ok(body) => MessageAction::Send(body),
                Err(error) => MessageAction::Report(error.to_string()),
            },
        };
    }
    // Lambda gave up a batch of a stream. The message contains the position of the batch, but not its records.
    if let Some((kind, batch)) = message.as_object().into_iter().flatten().find(|(name, _)| name.ends_with("BatchInfo"))
    {
        return MessageAction::Report(format!(
            "{kind}: Lambda gave up these records: {batch}; take a new snapshot of their tables"
        ));
    }
    // A notification or a replay that cdc-loader failed to process in all attempts.
    match wanted {
        None => MessageAction::Send(body.into()),
        Some(_) => MessageAction::Leave,
    }
}

fn outline(body: &str) -> String {
    match serde_json::from_str::<Refused>(body) {
        Ok(Refused { refused, kind, reason, .. }) => {
            format!("{} {}: {kind}: {reason}", refused.partition, refused.offset)
        }
        Err(_) => cut(body),
    }
}

/// A text for a line of the output: at most 200 characters on a terminal.
fn cut(text: &str) -> String {
    let most = if std::io::stdout().is_terminal() { 200 } else { usize::MAX };
    text.chars().take(most).collect()
}

async fn unclaimed(deployment: &Deployment, asked: &args::Replay) -> anyhow::Result<Outcome> {
    let contracts = contracts(deployment).await?;
    if let Some(name) = &asked.contract
        && !contracts.iter().any(|contract| contract.name() == *name)
    {
        anyhow::bail!("the deployment has no table contract `{name}`: use `shiftwork push` to deploy it");
    }
    let mut files: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for file in deployment.changes.unclaimed().await? {
        if let Some(table) = table_of_unclaimed(&file.key) {
            files.entry(table).or_default().push(file);
        }
    }
    let (mut sent, mut waiting) = (0, 0);
    for (table, files) in files {
        let claiming = claiming(&contracts, &table);
        if claiming.is_empty() {
            waiting += files.len();
            println!(
                "{} {table}: {} without a table contract; use `shiftwork contract propose` to create one",
                style("!").yellow(),
                words::plural(files.len(), "file")
            );
        } else if asked.contract.as_deref().is_some_and(|wanted| !claiming.contains(&wanted)) {
            waiting += files.len();
        } else {
            println!(
                "{} {table}: {} for {}",
                style("+").green(),
                words::plural(files.len(), "file"),
                claiming.join(", ")
            );
            sent += files.len();
            for file in files.iter().filter(|_| !asked.dry_run) {
                deployment.changes.send_file(file).await?;
            }
        }
    }
    let verb = if asked.dry_run { "to send" } else { "sent" };
    println!("{} {verb} to the loader, {waiting} left unclaimed", words::plural(sent, "file"));
    Ok(Outcome::Done)
}

/// The deployed table contracts that are valid.
async fn contracts(deployment: &Deployment) -> anyhow::Result<Vec<TableContract>> {
    let mut contracts = Vec::new();
    for key in scripts::etags(&deployment.scripts, shiftwork_protocol::keys::CONTRACTS).await?.into_keys() {
        let Some(script) = scripts::newest(&deployment.scripts, &key).await? else { continue };
        contracts.extend(contract::read(&key, &script.text).ok());
    }
    Ok(contracts)
}

/// The names of the table contracts for a table, which is `schema.table` as in the name of the folder. Several contracts can have
/// the same source, and the source in a contract can contain the database. cdc-loader decides which contract claims a record.
fn claiming<'c>(contracts: &'c [TableContract], table: &str) -> Vec<&'c str> {
    let is_of = |contract: &&TableContract| {
        let database = contract.source().table.strip_suffix(table);
        database.is_some_and(|database| database.is_empty() || database.ends_with('.') && table.contains('.'))
    };
    contracts.iter().filter(is_of).map(TableContract::name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use shiftwork_change_data::contract;

    use super::{MessageAction, action, claiming};

    fn refused(record: &serde_json::Value) -> String {
        json!({
            "refused": { "partition": "kafka/shop/0", "offset": "00000000000000000007", "record": record },
            "contract": "orders", "kind": "not-json", "reason": "it ends within a string",
        })
        .to_string()
    }

    #[test]
    fn a_refused_record_is_sent_unchanged() {
        let message = refused(&json!({ "base64": "eyI=" }));
        let replay = json!({ "replay": { "partition": "kafka/shop/0", "offset": "00000000000000000007", "record": { "base64": "eyI=" } } });
        let MessageAction::Send(body) = action(&message, None) else { panic!("not sent") };
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), replay);
        assert!(matches!(action(&message, Some("orders")), MessageAction::Send(_)));
        assert_eq!(action(&message, Some("customers")), MessageAction::Leave);
    }

    #[test]
    fn a_message_that_cannot_be_sent_is_reported() {
        let MessageAction::Report(lost) = action(&refused(&json!({ "lost": {} })), None) else {
            panic!("not reported")
        };
        assert!(lost.contains("kafka/shop/0 00000000000000000007"), "{lost}");
        let given_up = json!({ "requestContext": {}, "KinesisBatchInfo": { "shardId": "shardId-000000000001" } });
        let MessageAction::Report(text) = action(&given_up.to_string(), None) else { panic!("not reported") };
        assert!(text.contains("shardId-000000000001"), "{text}");
        assert!(matches!(action("{", None), MessageAction::Report(_)));
    }

    #[test]
    fn a_failed_notification_is_sent_again_unless_a_contract_is_requested() {
        let notification = json!({ "Records": [] }).to_string();
        assert_eq!(action(&notification, None), MessageAction::Send(notification.clone()));
        assert_eq!(action(&notification, Some("orders")), MessageAction::Leave);
    }

    #[test]
    fn unclaimed_records_are_sent_for_every_contract_of_their_table() {
        let contract = |name: &str, table: &str| {
            let text = format!(
                "contract: {name}\nsource: {{ format: debezium, table: {table} }}\ntarget: {{ schema: shop, table: {name} }}\nkey: [id]\n\
                 columns:\n  - {{ name: id, type: bigint }}\n"
            );
            contract::read("contract.yaml", &text).unwrap()
        };
        let contracts = [
            contract("current", "public.orders"),
            contract("history", "public.orders"),
            contract("of_eu", "eu.public.orders"),
            contract("others", "nonpublic.orders"),
        ];
        assert_eq!(claiming(&contracts, "public.orders"), ["current", "history", "of_eu"]);
        for other in ["public.customers", "orders"] {
            assert!(claiming(&contracts, other).is_empty(), "{other}");
        }
    }
}
