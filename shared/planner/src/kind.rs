//! The kinds of job. A new kind is one module beside these and one line in [`REGISTRY`].

mod cdc;
mod copy;
mod procedure;
mod sql;
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

/// What a kind is: its own fields in a configuration, and the work they come to.
pub(crate) trait JobKind: DeserializeOwned + JsonSchema {
    /// Its name.
    const KIND: Kind;
    /// Suffixes of its scripts; none for a kind without scripts.
    const SUFFIXES: &'static [&'static str] = &[];

    /// The script it runs.
    fn script(&self) -> Option<&str> {
        None
    }

    /// The table contract it loads.
    fn contract(&self) -> Option<&str> {
        None
    }

    /// The frozen work. None after a problem was reported.
    fn work(self, context: &mut Context) -> Option<Work>;
}

/// Every kind of this version.
pub(crate) const REGISTRY: &[Entry] = &[
    entry::<sql::Sql>(),
    entry::<procedure::Procedure>(),
    entry::<unload::Unload>(),
    entry::<cdc::Cdc>(),
    entry::<copy::Copy>(),
];

/// A kind in the registry, its type erased.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) suffixes: &'static [&'static str],
    /// Schema of the fields that are the kind's own.
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
                // The shape said so already, in better words.
                if context.problems.is_empty() {
                    context.problem(error.to_string());
                }
                None
            }
        },
    }
}

impl Entry {
    /// The script that a job runs; an error where the kind cannot read its fields.
    pub(crate) fn script(&self, job: &FullJob) -> Result<Option<String>, serde_json::Error> {
        (self.script)(job.work.clone().into())
    }

    /// The contract that a job loads; an error where the kind cannot read its fields.
    pub(crate) fn contract(&self, job: &FullJob) -> Result<Option<String>, serde_json::Error> {
        (self.contract)(job.work.clone().into())
    }

    pub(crate) fn work(&self, job: &FullJob, context: &mut Context) -> Option<Work> {
        (self.work)(job.work.clone().into(), context)
    }
}

/// What a kind may look at while it makes the work, and where it says what is wrong.
pub(crate) struct Context<'a> {
    pub(crate) doc: &'a Located,
    /// The job in the document.
    pub(crate) path: &'a JsonPath,
    pub(crate) inputs: &'a PlanInputs,
    /// Key of a script in the bucket: [`shiftwork_protocol::keys::script_key`].
    pub(crate) script_key: &'a dyn Fn(&str) -> String,
    /// Text of every placeholder that SQL can use in this run.
    pub(crate) bindings: &'a BTreeMap<String, String>,
    /// The connection of the job: [`Context::connection`].
    pub(crate) connection: &'a dyn Fn(&mut Vec<Problem>) -> Option<Connection>,
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Context<'_> {
    /// The job's own connection, else the workflow's, else the deployment's. `None` after a problem was reported.
    ///
    /// A kind that runs on a warehouse asks first of all, so that the problem is reported beside its other ones.
    pub(crate) fn connection(&mut self) -> Option<Connection> {
        (self.connection)(self.problems)
    }

    /// A problem with the job as a whole.
    pub(crate) fn problem(&mut self, message: impl Into<String>) {
        let problem = self.doc.problem(self.path, message);
        self.problems.push(problem);
    }

    /// A problem with a field of the job; to be pushed by the caller, who may know how to mend it.
    pub(crate) fn field(&self, field: &str, message: impl Into<String>) -> Problem {
        self.doc.problem(&self.path.key(field), message)
    }

    /// The bindings of the placeholders that a statement uses; a placeholder without one is reported at `place`.
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
            } else {
                let known: BTreeSet<&str> = own.keys().chain(self.bindings.keys()).map(String::as_str).collect();
                let problem = Problem::new(place.clone(), format!("nothing is bound to `:{name}`"));
                self.problems.push(problem.one_of(name, known));
            }
        }
        bound
    }
}

/// The kind of a bare script, by its suffix.
pub(crate) fn of_script(script: &str) -> Result<&'static Entry, String> {
    let of_this_version = |entry: &&Entry| entry.suffixes.iter().any(|suffix| script.ends_with(suffix));
    REGISTRY.iter().find(of_this_version).ok_or_else(|| {
        let suffix = script.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, suffix)| suffix);
        match suffix {
            Some("rsql" | "sh") => {
                format!("`{script}` is an RSQL script, and kind rsql is not available in this version")
            }
            Some(suffix) => format!("no kind of job runs `.{suffix}` files"),
            None => format!("`{script}` has no suffix that says its kind"),
        }
    })
}

/// How to go on after [`of_script`] knew no kind.
pub(crate) fn suffix_hint() -> String {
    let suffixes = REGISTRY
        .iter()
        .flat_map(|entry| entry.suffixes.iter().map(move |suffix| format!("`{suffix}` ({})", entry.kind)));
    format!("scripts end in {}; the kinds are {}", suffixes.collect::<Vec<_>>().join(", "), kinds())
}

fn kinds() -> String {
    list(REGISTRY.iter().map(|entry| entry.kind.as_str()))
}

/// Holds a workflow against its schema: the kind of a job says which fields it has.
pub(crate) fn shape(doc: &Located) -> SchemaMismatches {
    shape::check_with_choices(doc, &schema::workflow_schema(), &|definition, value, path| {
        (definition == "Job").then(|| match value {
            Value::String(_) => DefinitionChoice::Fits,
            Value::Object(members) => match of_object(doc, members, path) {
                Ok(entry) => DefinitionChoice::Definition(schema::definition(entry)),
                Err(problem) => DefinitionChoice::Problem(problem),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                let message = format!("expected a script's name or a job, found {}", shape::found(value));
                DefinitionChoice::Problem(Box::new(doc.problem(path, message)))
            }
        })
    })
}

/// The kind of a job in full: what `kind` says, else the suffix of its script.
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
            doc.problem(path, "nothing says the kind of this job").hint(format!("add `kind`: one of {}", kinds())),
        )),
        (Some(other), _) => {
            Err(Box::new(doc.problem(&at_kind, format!("expected one of {}, found {}", kinds(), shape::found(other)))))
        }
    }
}
