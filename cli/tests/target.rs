//! Which account, Region and endpoint a command uses: the binary with flags, environment and profiles, against a server
//! that records the signatures of its requests.

#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output},
    sync::mpsc::{Receiver, channel},
    thread,
};

const CONFIG: &str = "\
[default]
region = eu-north-1
[profile prod]
region = eu-west-1
[profile shared]
role_arn = arn:aws:iam::123456789012:role/elt
credential_source = Environment
[profile region-only]
region = eu-west-3
";
const CREDENTIALS: &str = "\
[default]
aws_access_key_id = AKIDDEFAULT
aws_secret_access_key = secret
[prod]
aws_access_key_id = AKIDPROD
aws_secret_access_key = secret
";

/// A directory with configuration files, and a server that refuses every request.
struct Machine {
    directory: PathBuf,
    url: String,
    signed: Receiver<String>,
}

impl Machine {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("shiftwork-target-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("config"), CONFIG).unwrap();
        fs::write(directory.join("credentials"), CREDENTIALS).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, signed) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0_u8; 16 * 1024];
                let length = stream.read(&mut request).unwrap();
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                let credential = text.split("Credential=").nth(1).and_then(|rest| rest.split(',').next());
                sender.send(credential.unwrap_or_default().to_owned()).unwrap();
                let body =
                    "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
                let head =
                    format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all((head + body).as_bytes()).unwrap();
            }
        });
        Self { directory, url, signed }
    }

    /// Runs `shiftwork status` with this environment and these flags.
    fn status(&self, environment: &[(&str, &str)], flags: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shiftwork"));
        command.env_clear().env("HOME", &self.directory).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_CONFIG_FILE", self.directory.join("config"));
        command.env("AWS_SHARED_CREDENTIALS_FILE", self.directory.join("credentials"));
        command.envs(environment.iter().copied()).args(flags).arg("status").output().unwrap()
    }

    /// The access key and the Region of the first request.
    fn signed(&self, environment: &[(&str, &str)], flags: &[&str]) -> (String, String) {
        let with_endpoint = [environment, &[("AWS_ENDPOINT_URL", &self.url)]].concat();
        let output = self.status(&with_endpoint, flags);
        let credential = self.signed.try_recv();
        let credential =
            credential.unwrap_or_else(|_| panic!("no request: {}", String::from_utf8_lossy(&output.stderr)));
        let mut parts = credential.split('/');
        let (key, region) = (parts.next().unwrap().to_owned(), parts.nth(1).unwrap().to_owned());
        (key, region)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", "secret")];

/// The case, the environment, the flags, and the access key and the Region of the request.
type Case = (&'static str, Vec<(&'static str, &'static str)>, &'static [&'static str], (&'static str, &'static str));

#[test]
fn credentials_and_region_follow_the_precedence_of_the_aws_cli() {
    let machine = Machine::new("precedence");
    let keys = |more: &[(&'static str, &'static str)]| [&KEYS[..], more].concat();
    let cases: [Case; 9] = [
        ("no settings: the default profile", vec![], &[], ("AKIDDEFAULT", "eu-north-1")),
        ("keys of the environment", keys(&[]), &[], ("AKIDENV", "eu-north-1")),
        ("a named profile", vec![], &["--profile", "prod"], ("AKIDPROD", "eu-west-1")),
        ("a named profile with keys in the environment", keys(&[]), &["--profile", "prod"], ("AKIDPROD", "eu-west-1")),
        ("AWS_PROFILE", vec![("AWS_PROFILE", "prod")], &[], ("AKIDPROD", "eu-west-1")),
        ("keys of the environment and AWS_PROFILE", keys(&[("AWS_PROFILE", "prod")]), &[], ("AKIDENV", "eu-west-1")),
        (
            "a named profile and AWS_PROFILE",
            vec![("AWS_PROFILE", "nowhere")],
            &["--profile", "prod"],
            ("AKIDPROD", "eu-west-1"),
        ),
        (
            "AWS_REGION and a named profile",
            vec![("AWS_REGION", "us-east-2")],
            &["--profile", "prod"],
            ("AKIDPROD", "us-east-2"),
        ),
        (
            "--region and AWS_REGION",
            vec![("AWS_REGION", "us-east-2"), ("AWS_DEFAULT_REGION", "us-east-1")],
            &["--region", "ap-south-1", "--profile", "prod"],
            ("AKIDPROD", "ap-south-1"),
        ),
    ];
    for (case, environment, flags, (key, region)) in cases {
        assert_eq!(machine.signed(&environment, flags), (key.into(), region.into()), "{case}");
    }
}

#[test]
fn an_endpoint_flag_takes_precedence_over_the_environment() {
    let machine = Machine::new("endpoint");
    let elsewhere =
        [("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:1")];
    machine.status(&elsewhere, &["--endpoint-url", &machine.url]);
    assert!(machine.signed.try_recv().is_ok());
}

#[test]
fn an_unknown_profile_is_an_error_that_lists_the_known_ones() {
    let machine = Machine::new("unknown");
    for (environment, flags, source) in
        [(vec![], &["--profile", "prd"][..], "--profile"), (vec![("AWS_PROFILE", "prd")], &[][..], "AWS_PROFILE")]
    {
        let output = machine.status(&[&KEYS[..], &environment].concat(), flags);
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{printed}");
        let config = machine.directory.join("config").display().to_string();
        for part in [source, "`prd`", "default, prod, region-only, shared", &config] {
            assert!(printed.contains(part), "{part}: {printed}");
        }
    }
    assert!(machine.signed.try_recv().is_err(), "no request was sent");
}

#[test]
fn a_named_profile_without_credentials_does_not_use_those_of_the_environment() {
    let machine = Machine::new("without");
    let environment = [&KEYS[..], &[("AWS_ENDPOINT_URL", machine.url.as_str())]].concat();
    let output = machine.status(&environment, &["--profile", "region-only"]);
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("region-only"), "{printed}");
    assert!(machine.signed.try_recv().is_err(), "no request was sent");
}

#[test]
fn a_profile_may_name_the_environment_as_the_source_of_its_credentials() {
    let machine = Machine::new("source");
    let environment = [&KEYS[..], &[("AWS_REGION", "us-east-1")]].concat();
    assert_eq!(machine.signed(&environment, &["--profile", "shared"]).0, "AKIDENV", "the request to STS for the role");
}
