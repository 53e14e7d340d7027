//! `cdc`: staged change data of one table contract, loaded and promoted.

use schemars::JsonSchema;
use serde::Deserialize;
use shiftwork_protocol::{Kind, ScriptPin, Work, keys::contract_key, name};

use super::{Context, JobKind};

/// Loads what is staged for a table contract and promotes it, in one transaction.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cdc {
    /// The table contract: the name of its file under `contracts/`, without the suffix.
    contract: String,
    /// ARN of the role that COPY reads the staging bucket as, or `default`: the role that the warehouse has for this.
    #[serde(default = "default_role")]
    iam_role: String,
}

fn default_role() -> String {
    "default".into()
}

impl JobKind for Cdc {
    const KIND: Kind = Kind::Cdc;

    fn contract(&self) -> Option<&str> {
        Some(&self.contract)
    }

    fn work(self, context: &mut Context) -> Option<Work> {
        let connection = context.connection();
        let before = context.problems.len();
        if self.iam_role != "default" && !is_role(&self.iam_role) {
            let problem = context
                .field("iam_role", format!("`{}` is no role", self.iam_role))
                .hint("write `default`, or an ARN such as `arn:aws:iam::123456789012:role/warehouse`");
            context.problems.push(problem);
        }
        let Some(contract) = context.facts.contracts.get(&self.contract) else {
            let found = context.facts.contracts.keys().map(String::as_str);
            let message = format!("there is no table contract `{}`", contract_key(&self.contract));
            let problem = context.field("contract", message).did_you_mean(&self.contract, found);
            context.problems.push(problem);
            return None;
        };
        (context.problems.len() == before).then_some(Work::Cdc {
            connection: connection?,
            contract: ScriptPin {
                key: contract.key.clone(),
                version_id: contract.version_id.clone(),
                sha256: name::sha256(&contract.text),
                statements: 0,
            },
            iam_role: self.iam_role,
        })
    }
}

/// `arn:<partition>:iam::<account>:role/<path and name>`, nothing else: it becomes part of a COPY.
fn is_role(arn: &str) -> bool {
    let fields: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, role] = fields[..] else { return false };
    let name = role.strip_prefix("role/").unwrap_or_default();
    partition.starts_with("aws")
        && partition.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::is_role;

    #[test]
    fn a_role_is_an_arn_and_nothing_that_could_end_a_literal() {
        assert!(is_role("arn:aws:iam::123456789012:role/path/warehouse"));
        assert!(is_role("arn:aws-us-gov:iam::123456789012:role/warehouse"));
        for odd in [
            "warehouse",
            "arn:aws:iam::123456789012:user/warehouse",
            "arn:aws:iam::12345678901:role/warehouse",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/x' CREDENTIALS 'y",
        ] {
            assert!(!is_role(odd), "{odd}");
        }
    }
}
