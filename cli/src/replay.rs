//! `shiftwork replay`: change events that were refused, or that no contract had claimed, go to the loader once more.

use std::collections::{BTreeMap, BTreeSet};

use console::style;
use serde_json::Value;
use shiftwork_change_data::contract::{self, TableContract};
use shiftwork_ports::scripts;
use shiftwork_protocol::{
    change::{Bytes, Refused, ReplayRequest},
    keys::table_of_unclaimed,
};

use crate::{Deployment, Outcome, args, words};

/// What is to be done about a dead letter.
#[derive(Debug, PartialEq, Eq)]
enum LetterAction {
    /// Sent to the loader with this body.
    Send(String),
    /// It is another contract's.
    Leave,
    /// A person has to act; the text says how.
    Report(String),
}

/// Replays, and says so.
pub async fn replay(deployment: &Deployment, asked: &args::Replay) -> anyhow::Result<Outcome> {
    if asked.unclaimed { unclaimed(deployment, asked).await } else { refused(deployment, asked).await }
}

async fn refused(deployment: &Deployment, asked: &args::Replay) -> anyhow::Result<Outcome> {
    let begun = deployment.clock.now();
    let (mut seen, mut left, mut sent, mut told) = (BTreeSet::new(), Vec::new(), 0, 0);
    loop {
        let letters = deployment.changes.receive().await?;
        let fresh: Vec<_> = letters.into_iter().filter(|letter| seen.insert(letter.id.clone())).collect();
        if fresh.is_empty() {
            break;
        }
        for letter in fresh {
            // What the loader refuses again while we are at it is not for this time.
            if letter.sent >= begun {
                left.push(letter);
                continue;
            }
            match action(&letter.body, asked.contract.as_deref()) {
                LetterAction::Send(body) => {
                    sent += 1;
                    if asked.dry_run {
                        println!("{} {}", style("+").green(), outline(&letter.body));
                        left.push(letter);
                    } else {
                        deployment.changes.send_again(&body, &letter).await?;
                    }
                }
                LetterAction::Leave => left.push(letter),
                LetterAction::Report(what) => {
                    told += 1;
                    println!("{} {what}", style("!").yellow());
                    left.push(letter);
                }
            }
        }
    }
    for letter in &left {
        deployment.changes.put_back(letter).await?;
    }
    let verb = if asked.dry_run { "to send" } else { "sent" };
    println!("{} {verb} to the loader, {} left in the queue", words::plural(sent, "message"), left.len());
    Ok(if told == 0 { Outcome::Done } else { Outcome::Failed })
}

/// What is done about a dead letter; `wanted` is the contract that is asked for.
fn action(body: &str, wanted: Option<&str>) -> LetterAction {
    let Ok(letter) = serde_json::from_str::<Value>(body) else {
        return LetterAction::Report(format!("a message that is not valid JSON: {}", cut(body)));
    };
    if let Ok(Refused { refused, contract, kind, reason }) = serde_json::from_value(letter.clone()) {
        return match refused.record {
            _ if wanted.is_some() && contract.as_deref() != wanted => LetterAction::Leave,
            Bytes::Lost {} => LetterAction::Report(format!(
                "{} {}: {kind}: {reason}; fix its file and send it again",
                refused.partition, refused.offset
            )),
            Bytes::Base64(_) | Bytes::Object(_) => match serde_json::to_string(&ReplayRequest { replay: refused }) {
                Ok(body) => LetterAction::Send(body),
                Err(error) => LetterAction::Report(error.to_string()),
            },
        };
    }
    // A batch that expired in its stream: Lambda says which, and its records are gone from the stream.
    if let Some((kind, batch)) = letter.as_object().into_iter().flatten().find(|(name, _)| name.ends_with("BatchInfo"))
    {
        return LetterAction::Report(format!(
            "{kind}: records that were given up: {batch}; take a new snapshot of their tables"
        ));
    }
    // A notification or a replay that the loader gave back too often.
    match wanted {
        None => LetterAction::Send(body.into()),
        Some(_) => LetterAction::Leave,
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

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

async fn unclaimed(deployment: &Deployment, asked: &args::Replay) -> anyhow::Result<Outcome> {
    let contracts = contracts(deployment).await?;
    if let Some(name) = &asked.contract
        && !contracts.iter().any(|contract| contract.name() == *name)
    {
        anyhow::bail!("there is no table contract `{name}` in the deployment: `shiftwork push` puts it there");
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
                "{} {table}: {}, and no contract; `shiftwork contract propose` writes one",
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

/// The deployed contracts.
async fn contracts(deployment: &Deployment) -> anyhow::Result<Vec<TableContract>> {
    let mut contracts = Vec::new();
    for key in scripts::etags(&deployment.scripts, shiftwork_protocol::keys::CONTRACTS).await?.into_keys() {
        let Some(script) = scripts::newest(&deployment.scripts, &key).await? else { continue };
        contracts.extend(contract::read(&key, &script.text).ok());
    }
    Ok(contracts)
}

/// The contracts that may claim records of a table as its folder names it: `schema.table`. A current and a historical table may be of
/// one source, and a contract may name the database too. Whether a record is one's the loader decides.
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

    use super::{LetterAction, action, claiming};

    fn refused(record: &serde_json::Value) -> String {
        json!({
            "refused": { "partition": "kafka/shop/0", "offset": "00000000000000000007", "record": record },
            "contract": "orders", "kind": "not-json", "reason": "it ends within a string",
        })
        .to_string()
    }

    #[test]
    fn a_refused_record_is_sent_as_it_was() {
        let letter = refused(&json!({ "base64": "eyI=" }));
        let replay = json!({ "replay": { "partition": "kafka/shop/0", "offset": "00000000000000000007", "record": { "base64": "eyI=" } } });
        let LetterAction::Send(body) = action(&letter, None) else { panic!("not sent") };
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), replay);
        assert!(matches!(action(&letter, Some("orders")), LetterAction::Send(_)));
        assert_eq!(action(&letter, Some("customers")), LetterAction::Leave);
    }

    #[test]
    fn what_cannot_be_sent_is_told() {
        let LetterAction::Report(lost) = action(&refused(&json!({ "lost": {} })), None) else { panic!("not told") };
        assert!(lost.contains("kafka/shop/0 00000000000000000007"), "{lost}");
        let given_up = json!({ "requestContext": {}, "KinesisBatchInfo": { "shardId": "shardId-000000000001" } });
        let LetterAction::Report(words) = action(&given_up.to_string(), None) else { panic!("not told") };
        assert!(words.contains("shardId-000000000001"), "{words}");
        assert!(matches!(action("{", None), LetterAction::Report(_)));
    }

    #[test]
    fn what_the_loader_gave_back_is_sent_again_where_no_contract_is_asked_for() {
        let notification = json!({ "Records": [] }).to_string();
        assert_eq!(action(&notification, None), LetterAction::Send(notification.clone()));
        assert_eq!(action(&notification, Some("orders")), LetterAction::Leave);
    }

    #[test]
    fn unclaimed_records_go_to_each_contract_of_their_table() {
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
