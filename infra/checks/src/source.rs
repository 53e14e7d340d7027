//! What the Rust source says about the functions: the adapters that each one uses, and the AWS operations that an adapter
//! calls.
//!
//! Nothing is listed here. The functions are the directories of `functions/`; an adapter is a type of `shared/aws` with a
//! method that calls an SDK; the operations of an SDK are the modules of its crate.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use serde_json::Value;
use syn::{Attribute, Item, Type};

use crate::checkout;

/// Where adapters are wired for several functions.
const WIRING: &str = "shared/wiring/src/lib.rs";

/// Facts that are read from the source code of the functions.
#[derive(Debug, Clone)]
pub struct Source {
    /// The functions, by directory.
    pub functions: Vec<Function>,
    /// The operations that each adapter calls, by the adapter's type.
    pub adapters: BTreeMap<String, BTreeSet<Operation>>,
}

/// A Lambda function of this repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its directory and binary: `job-launcher`.
    pub name: String,
    /// What its resources begin with: `JobLauncher`.
    pub id: String,
    /// The adapters that its production code uses, itself or through the shared wiring.
    pub adapters: BTreeSet<String>,
    /// The environment variables that it reads.
    pub variables: BTreeSet<String>,
    /// The event that bench-start sends: `event` in `[package.metadata.start]` of its manifest.
    pub start_event: Option<String>,
}

impl Function {
    /// The logical ID of one of its resources: `resource("Role")` is `JobLauncherRole`.
    pub fn resource(&self, kind: &str) -> String {
        format!("{}{kind}", self.id)
    }
}

/// An operation of an AWS service, such as `states:SendTaskSuccess`: the service as IAM calls it, the operation as the API
/// does.
pub type Operation = String;

impl Source {
    /// Reads the checkout.
    ///
    /// # Panics
    /// When a file cannot be read or parsed: there is nothing to test without it.
    pub fn read() -> Self {
        let packages = metadata();
        let packages = packages["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let (adapters, wiring, shared) = (adapters(packages), wiring(), environments(shared_files()));
        let directories = read_dir(&checkout("functions"));
        let names = directories.iter().filter(|path| path.join("Cargo.toml").exists()).map(|path| file_name(path));
        let functions = names
            .map(|name| Function {
                name: name.to_owned(),
                id: pascal_case(name, '-'),
                adapters: used(name, &adapters, &wiring),
                variables: variables(name, &shared),
                start_event: start_event(name, packages),
            })
            .collect();
        Self { functions, adapters }
    }

    /// The operations that a function's adapters call, each with its adapter.
    pub fn operations(&self, function: &Function) -> Vec<(&str, &Operation)> {
        let of = |adapter| self.adapters.get_key_value(adapter).into_iter();
        let used = function.adapters.iter().flat_map(of);
        used.flat_map(|(adapter, operations)| operations.iter().map(move |one| (adapter.as_str(), one))).collect()
    }
}

/// The adapters of `shared/aws`: types that implement one of our traits. What other types and functions of an adapter's module
/// call is the adapter's.
fn adapters(packages: &[Value]) -> BTreeMap<String, BTreeSet<Operation>> {
    let (sdks, ports) = (sdks(packages), ports());
    let root = checkout("shared/aws/src");
    let mut modules = BTreeMap::<String, Vec<Item>>::new();
    for file in rust_files(&root) {
        let below = file.strip_prefix(&root).unwrap_or(&file).with_extension("");
        let module = below.iter().next().and_then(|name| name.to_str()).unwrap_or_default();
        modules.entry(module.to_owned()).or_default().extend(parsed(&file).items);
    }
    let mut adapters = BTreeMap::<String, BTreeSet<Operation>>::new();
    for items in modules.values() {
        let words: BTreeSet<String> = items.iter().flat_map(|item| words_of(&flat(item.to_token_stream()))).collect();
        let of_module = |(sdk, _): &&(String, Operation)| words.contains(&format!("aws_sdk_{sdk}"));
        let implementing: BTreeSet<String> = items.iter().filter_map(|item| implements(item, &ports)).collect();
        for item in items {
            let called = calls(item.to_token_stream());
            let found = called.iter().filter_map(|call| sdks.get(call)).flatten().filter(of_module);
            let operations: BTreeSet<_> = found.map(|(_, operation)| operation.clone()).collect();
            let of = implemented(item).filter(|name| implementing.contains(name));
            for adapter in implementing.iter().filter(|adapter| of.is_none() || of.as_ref() == Some(adapter)) {
                adapters.entry(adapter.clone()).or_default().extend(operations.iter().cloned());
            }
        }
    }
    adapters
}

/// The Rust files of the crates under `shared/`.
fn shared_files() -> Vec<PathBuf> {
    let crates = read_dir(&checkout("shared"));
    let sources = crates.iter().map(|root| root.join("src")).filter(|sources| sources.exists());
    sources.flat_map(|sources| rust_files(&sources)).collect()
}

/// The traits of our own crates.
fn ports() -> BTreeSet<String> {
    let items = shared_files().into_iter().flat_map(|file| parsed(&file).items);
    items.filter_map(|item| if let Item::Trait(port) = item { Some(port.ident.to_string()) } else { None }).collect()
}

/// The type that an item implements a port for.
fn implements(item: &Item, ports: &BTreeSet<String>) -> Option<String> {
    let Item::Impl(block) = item else { return None };
    let (port, _) = block.trait_.as_ref()?;
    ports.contains(&port.segments.last()?.ident.to_string()).then(|| implemented(item)).flatten()
}

/// The type that an item is an `impl` of.
fn implemented(item: &Item) -> Option<String> {
    let Item::Impl(block) = item else { return None };
    let Type::Path(of) = &*block.self_ty else { return None };
    Some(of.path.segments.last()?.ident.to_string())
}

/// The adapters that the production code of a function names, or that the shared wiring names for it.
fn used(
    function: &str,
    adapters: &BTreeMap<String, BTreeSet<Operation>>,
    wiring: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut todo = Vec::new();
    for file in rust_files(&checkout(&format!("functions/{function}/src"))) {
        for item in parsed(&file).items {
            let named = words_of(&flat(item.to_token_stream()));
            if matches!(item, Item::Use(_)) && named.contains("shiftwork_wiring") {
                todo.extend(named.iter().cloned());
            }
            words.extend(named);
        }
    }
    let mut seen = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if let Some(body) = wiring.get(&name).filter(|_| seen.insert(name)) {
            todo.extend(body.iter().filter(|word| wiring.contains_key(*word)).cloned());
            words.extend(body.iter().cloned());
        }
    }
    adapters.keys().filter(|adapter| words.contains(*adapter)).cloned().collect()
}

/// The fields of the structs that `environment!` declares, each with its type, by the struct's name.
type Environments = BTreeMap<String, Vec<(String, String)>>;

/// The structs that `environment!` declares in these files.
fn environments(files: impl IntoIterator<Item = PathBuf>) -> Environments {
    let mut environments = Environments::new();
    for item in files.into_iter().flat_map(|file| parsed(&file).items) {
        let Item::Macro(call) = item else { continue };
        if !call.mac.path.is_ident("environment") {
            continue;
        }
        let Ok(declared) = call.mac.parse_body::<syn::ItemStruct>() else { continue };
        let fields = declared.fields.iter().filter_map(|field| {
            let Type::Path(of) = &field.ty else { return None };
            Some((field.ident.as_ref()?.to_string(), of.path.segments.last()?.ident.to_string()))
        });
        environments.insert(declared.ident.to_string(), fields.collect());
    }
    environments
}

/// The variables that a function reads: those of the struct that its `main.rs` reads, `environment::read::<Environment>()`.
fn variables(function: &str, shared: &Environments) -> BTreeSet<String> {
    let mut known = shared.clone();
    known.extend(environments(rust_files(&checkout(&format!("functions/{function}/src")))));
    let main = checkout(&format!("functions/{function}/src/main.rs"));
    let tokens: Vec<_> = parsed(&main).items.iter().flat_map(|item| flat(item.to_token_stream())).collect();
    let read = tokens.windows(5).filter_map(|window| match window {
        [
            TokenTree::Ident(read),
            TokenTree::Punct(_),
            TokenTree::Punct(_),
            TokenTree::Punct(_),
            TokenTree::Ident(of),
        ] if read == "read" => Some(of.to_string()),
        _ => None,
    });
    let mut variables = BTreeSet::new();
    let mut todo: Vec<String> = read.collect();
    while let Some(of) = todo.pop() {
        for (field, of) in known.get(&of).into_iter().flatten() {
            if known.contains_key(of) {
                todo.push(of.clone());
            } else {
                variables.insert(field.to_ascii_uppercase());
            }
        }
    }
    variables
}

/// The words of each function of the shared wiring, by its name.
fn wiring() -> BTreeMap<String, BTreeSet<String>> {
    let mut wiring = BTreeMap::new();
    for item in parsed(&checkout(WIRING)).items {
        if let Item::Fn(function) = item {
            let body = flat(function.block.to_token_stream());
            wiring.insert(function.sig.ident.to_string(), words_of(&body));
        }
    }
    wiring
}

/// The operations of the SDKs that `shared/aws` links, each with its SDK, by the method that begins a call.
fn sdks(packages: &[Value]) -> BTreeMap<String, BTreeSet<(String, Operation)>> {
    let mut operations = BTreeMap::<String, BTreeSet<(String, Operation)>>::new();
    for package in packages {
        let Some(service) = package["name"].as_str().and_then(|name| name.strip_prefix("aws-sdk-")) else { continue };
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
        for module in read_dir(&manifest.with_file_name("src").join("operation")) {
            let method = module.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            let operation = format!("{}:{}", iam_service(service), pascal_case(method, '_'));
            operations.entry(method.to_owned()).or_default().insert((service.to_owned(), operation));
        }
    }
    operations
}

fn start_event(function: &str, packages: &[Value]) -> Option<String> {
    let manifest = format!("functions/{function}/Cargo.toml");
    let own = |package: &&Value| package["manifest_path"].as_str().is_some_and(|path| path.ends_with(&manifest));
    packages.iter().find(own)?["metadata"]["start"]["event"].as_str().map(String::from)
}

/// A service as IAM calls it, from the name of its SDK.
fn iam_service(sdk: &str) -> &str {
    match sdk {
        "sfn" => "states",
        "eventbridge" => "events",
        "redshiftdata" => "redshift-data",
        same => same,
    }
}

/// What Cargo knows of the workspace and of everything that it depends on.
fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(checkout(""))
        .output()
        .unwrap_or_else(|error| panic!("cargo metadata: {error}"));
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("cargo metadata: {error}"))
}

/// `job-launcher` and `send_task_success` as `JobLauncher` and `SendTaskSuccess`.
fn pascal_case(name: &str, separator: char) -> String {
    name.split(separator)
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}

/// The Rust files of a directory and of those below it, but for files of tests.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in read_dir(directory) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !file_name(&path).ends_with("tests.rs")
        {
            files.push(path);
        }
    }
    files
}

/// A file without its items of tests.
fn parsed(path: &Path) -> syn::File {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let mut file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.items.retain(|item| !matches!(item, Item::Mod(module) if module.attrs.iter().any(is_for_tests)));
    file
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("test")
}

/// Methods that are called without an argument, which is how a call of an SDK begins.
fn calls(tokens: TokenStream) -> BTreeSet<String> {
    let tokens = flat(tokens);
    let mut calls = BTreeSet::new();
    for window in tokens.windows(3) {
        if let [TokenTree::Punct(dot), TokenTree::Ident(method), TokenTree::Group(arguments)] = window
            && dot.as_char() == '.'
            && arguments.stream().is_empty()
        {
            calls.insert(method.to_string());
        }
    }
    calls
}

fn words_of(tokens: &[TokenTree]) -> BTreeSet<String> {
    let words = tokens.iter().filter_map(|token| match token {
        TokenTree::Ident(ident) => Some(ident.to_string()),
        TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    });
    words.collect()
}

/// Every token, each group before what is in it.
fn flat(tokens: TokenStream) -> Vec<TokenTree> {
    let mut all = Vec::new();
    for token in tokens {
        all.push(token.clone());
        if let TokenTree::Group(group) = token {
            all.extend(flat(group.stream()));
        }
    }
    all
}

fn read_dir(directory: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("cannot list {}: {error}", directory.display()));
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
