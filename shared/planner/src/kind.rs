//! The kinds of jobs. A new kind needs one module in this directory and one line in [`REGISTRY`].

mod cdc;
mod copy;
mod procedure;
mod script_facts;
mod sql;
mod unbound;
mod unload;

use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use shiftwork_config::{
    JsonPath, Located, Place, Problem, list,
    shape::{self, DefinitionChoice, SchemaMismatches},
};
use shiftwork_protocol::{Connection, Kind, Work, workflow::FullJob};

use crate::{plan::PlanInputs, schema};

pub(crate) use script_facts::ScriptFacts;

/// A kind of job. The implementing type has the fields that are specific to the kind.
pub(crate) trait JobKind: DeserializeOwned + JsonSchema {
    /// Name of the kind.
    const KIND: Kind;
    /// File suffixes of the kind's scripts; empty for a kind without scripts.
    const SUFFIXES: &'static [&'static str] = &[];

    /// Name of the script that the job runs.
    fn script(&self) -> Option<&str> {
        None
    }

    /// Name of the table contract that the job loads.
    fn contract(&self) -> Option<&str> {
        None
    }

    /// Converts the job to the work of the plan. Returns `None` after it reported a problem.
    fn work(self, context: &mut Context) -> Option<Work>;
}

/// All kinds of this version.
pub(crate) const REGISTRY: &[Entry] = &[
    entry::<sql::Sql>(),
    entry::<procedure::Procedure>(),
    entry::<unload::Unload>(),
    entry::<cdc::Cdc>(),
    entry::<copy::Copy>(),
];

/// A kind in the registry, with its type erased.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) suffixes: &'static [&'static str],
    /// JSON Schema of the fields that are specific to the kind.
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
    script: fn(Value) -> Result<Option<String>, serde_json::Error>,
    contract: fn(Value) -> Result<Option<String>, serde_json::Error>,
    work: fn(Value, &mut Context) -> Option<Work>,
}

const fn entry<K: JobKind>() -> Entry {
    Entry {
        kind: K::KIND,
        suffixes: K::SUFFIXES,
        schema: schema::object::<K>,
        script: |fields| Ok(serde_json::from_value::<K>(fields)?.script().map(str::to_owned)),
        contract: |fields| Ok(serde_json::from_value::<K>(fields)?.contract().map(str::to_owned)),
        work: |fields, context| match serde_json::from_value::<K>(fields) {
            Ok(job) => job.work(context),
            Err(error) => {
                context.problem(error.to_string());
                None
            }
        },
    }
}

impl Entry {
    /// Name of the script that a job runs; an error if the job's fields do not match the kind.
    pub(crate) fn script(&self, job: &FullJob) -> Result<Option<String>, serde_json::Error> {
        (self.script)(job.work.clone().into())
    }

    /// Name of the table contract that a job loads; an error if the job's fields do not match the kind.
    pub(crate) fn contract(&self, job: &FullJob) -> Result<Option<String>, serde_json::Error> {
        (self.contract)(job.work.clone().into())
    }

    pub(crate) fn work(&self, job: &FullJob, context: &mut Context) -> Option<Work> {
        (self.work)(job.work.clone().into(), context)
    }
}

/// The input of [`JobKind::work`], and the list to which it adds problems.
pub(crate) struct Context<'a> {
    pub(crate) doc: &'a Located,
    /// Path of the job in the document.
    pub(crate) path: &'a JsonPath,
    pub(crate) inputs: &'a PlanInputs,
    /// Returns the key of a script in the scripts bucket: [`shiftwork_protocol::keys::script_key`].
    pub(crate) script_key: &'a dyn Fn(&str) -> String,
    /// What the scripts of the workflow show about objects that other scripts use.
    pub(crate) script_facts: &'a ScriptFacts,
    /// The value of every placeholder that SQL can use in this run.
    pub(crate) bindings: &'a BTreeMap<String, String>,
    /// False if the declarations of the parameters could not be read, so that a placeholder can have a value that is not in `bindings`.
    pub(crate) knows_parameters: bool,
    /// The connection of the job: [`Context::connection`].
    pub(crate) connection: &'a dyn Fn(&mut Vec<Problem>) -> Option<Connection>,
    pub(crate) problems: &'a mut Vec<Problem>,
    /// The list to which a kind adds what is probably wrong although a run can start.
    pub(crate) warnings: &'a mut Vec<Problem>,
}

impl Context<'_> {
    /// Returns the connection of the job, of the workflow, or the default of the deployment, in this order. Returns `None` after it reported a
    /// problem.
    ///
    /// A kind that uses a connection calls this first, so that a problem with the connection is reported together with its other problems.
    pub(crate) fn connection(&mut self) -> Option<Connection> {
        (self.connection)(self.problems)
    }

    /// Returns the names of the parameters of the run.
    pub(crate) fn parameters(&self) -> BTreeSet<&str> {
        self.bindings.keys().map(String::as_str).collect()
    }

    /// Reports a problem with the job as a whole.
    pub(crate) fn problem(&mut self, message: impl Into<String>) {
        let problem = self.doc.problem(self.path, message);
        self.problems.push(problem);
    }

    /// Creates a problem with a field of the job. The caller adds a hint and pushes the problem.
    pub(crate) fn field(&self, field: &str, message: impl Into<String>) -> Problem {
        self.doc.problem(&self.path.key(field), message)
    }

    /// Returns the values of a statement's placeholders. A placeholder without a value is reported at `place`.
    pub(crate) fn bind<'n>(
        &mut self,
        placeholders: impl IntoIterator<Item = &'n String>,
        own: &BTreeMap<String, String>,
        place: &Place,
    ) -> BTreeMap<String, String> {
        let mut bound = BTreeMap::new();
        for name in placeholders {
            if let Some(text) = own.get(name).or_else(|| self.bindings.get(name)) {
                bound.insert(name.clone(), text.clone());
            } else if self.knows_parameters {
                let known: BTreeSet<&str> = own.keys().chain(self.bindings.keys()).map(String::as_str).collect();
                let problem = Problem::new(place.clone(), format!("the placeholder `:{name}` has no value"));
                self.problems.push(problem.one_of(name, known));
            }
        }
        bound
    }
}

/// Returns the kind of a script by its suffix.
pub(crate) fn of_script(script: &str) -> Result<&'static Entry, String> {
    let of_this_version = |entry: &&Entry| entry.suffixes.iter().any(|suffix| script.ends_with(suffix));
    REGISTRY.iter().find(of_this_version).ok_or_else(|| {
        let suffix = script.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, suffix)| suffix);
        match suffix {
            Some("rsql" | "sh") => {
                format!("`{script}` is an RSQL script, and kind rsql is not available in this version")
            }
            Some(suffix) => format!("no kind of job runs `.{suffix}` files"),
            None => format!("`{script}` has no file suffix, which determines the kind"),
        }
    })
}

/// Hint of the messages of [`of_script`].
pub(crate) fn suffix_hint() -> String {
    let suffixes = REGISTRY
        .iter()
        .flat_map(|entry| entry.suffixes.iter().map(move |suffix| format!("`{suffix}` ({})", entry.kind)));
    format!("scripts end in {}; the kinds are {}", suffixes.collect::<Vec<_>>().join(", "), kinds())
}

fn kinds() -> String {
    list(REGISTRY.iter().map(|entry| entry.kind.as_str()))
}

/// Validates a workflow against its schema. The kind of a job determines the definition of its fields.
pub(crate) fn shape(doc: &Located) -> SchemaMismatches {
    shape::check_with_choices(doc, &schema::workflow_schema(), &|definition, value, path| {
        (definition == "Job").then(|| match value {
            Value::String(_) => DefinitionChoice::Fits,
            Value::Object(members) => match of_object(doc, members, path) {
                Ok(entry) => DefinitionChoice::Definition(schema::definition(entry)),
                Err(problem) => DefinitionChoice::Problem(problem),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                let message = format!("expected the name of a script or a job, found {}", shape::found(value));
                DefinitionChoice::Problem(Box::new(doc.problem(path, message)))
            }
        })
    })
}

/// Returns the kind of a job in the full form: the value of `kind`, or the kind of its script by the suffix.
pub(crate) fn of_object(
    doc: &Located,
    job: &Map<String, Value>,
    path: &JsonPath,
) -> Result<&'static Entry, Box<Problem>> {
    let at_kind = path.key("kind");
    match (job.get("kind"), job.get("script")) {
        (Some(Value::String(name)), _) => REGISTRY.iter().find(|entry| entry.kind.as_str() == name).ok_or_else(|| {
            let known = REGISTRY.iter().map(|entry| entry.kind.as_str());
            let problem = doc.problem(&at_kind, format!("kind `{name}` is not available in this version"));
            Box::new(problem.one_of(name, known))
        }),
        (None | Some(Value::Null), Some(Value::String(script))) => {
            of_script(script).map_err(|message| Box::new(doc.problem(&path.key("script"), message).hint(suffix_hint())))
        }
        (None | Some(Value::Null), _) => Err(Box::new(
            doc.problem(path, "the job has neither a `kind` nor a `script`")
                .hint(format!("add `kind`: one of {}", kinds())),
        )),
        (Some(other), _) => {
            Err(Box::new(doc.problem(&at_kind, format!("expected one of {}, found {}", kinds(), shape::found(other)))))
        }
    }
}
