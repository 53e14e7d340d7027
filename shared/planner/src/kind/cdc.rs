//! Kind `cdc`: loads and promotes the staged change data of one table contract.

use schemars::JsonSchema;
use serde::Deserialize;
use shiftwork_config::IamRole;
use shiftwork_protocol::{Kind, ScriptPin, Work, keys::contract_key, name};

use super::{Context, JobKind};

/// Loads and promotes the staged change data of a table contract in one transaction.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cdc {
    /// The table contract: the name of its file under `contracts/`, without the suffix.
    contract: String,
    /// IAM role with which COPY reads the staging bucket: `default` for the default role of the warehouse, the ARN of a role, or the list of
    /// ARNs of a role chain.
    #[serde(default)]
    iam_role: IamRole,
}

impl JobKind for Cdc {
    const KIND: Kind = Kind::Cdc;

    fn contract(&self) -> Option<&str> {
        Some(&self.contract)
    }

    fn work(self, context: &mut Context) -> Option<Work> {
        let connection = context.connection();
        let Some(contract) = context.inputs.contracts.get(&self.contract) else {
            let found = context.inputs.contracts.keys().map(String::as_str);
            let message = format!("the table contract `{}` does not exist", contract_key(&self.contract));
            let problem = context.field("contract", message).one_of(&self.contract, found);
            context.problems.push(problem);
            return None;
        };
        Some(Work::Cdc {
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
