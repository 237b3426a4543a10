//! What is measured: our functions, the floor, and the same job in other languages.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use flexglue_tests::runtime_api::Environment;
use serde_json::Value;

use crate::stub::At;

/// One function, ready to be started.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// What the tables call it.
    pub name: &'static str,
    /// What is started.
    pub binary: PathBuf,
    /// Its variables, without where it finds whom it calls.
    pub variables: Environment,
    /// What it is given, and a piece of the right answer.
    pub event: Value,
    /// What its answer must hold.
    pub answer: &'static str,
    /// Whether it does the job of a first message, so that it can be compared.
    pub does_the_job: bool,
    /// What is put into the package, relative to the folder it is in.
    package: (PathBuf, Vec<&'static str>),
}

/// The functions, with an event for each and what its answer holds: a first message, the end of a task that was dealt
/// with, a caller without a key, a forged token, a sweep that only looks.
const FUNCTIONS: [(&str, &str, &str); 5] = [
    ("inbound-webhook", include_str!("../../events/inbound-webhook-first-message.json"), "created"),
    ("taskrouter-events", include_str!("../../events/taskrouter-events-workflow-timeout.json"), "204"),
    (
        "outbound-participant",
        include_str!("../../events/outbound-participant-without-key.json"),
        "unauthorized",
    ),
    ("webchat-token", include_str!("../../events/webchat-token-forged.json"), "token_refused"),
    ("orphan-sweeper", include_str!("../../events/orphan-sweeper-dry-run.json"), r#""errors":0"#),
];

/// The names of our functions.
pub(crate) fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.into_iter().map(|(name, ..)| name)
}

/// The name of the function that does the job of a first message.
pub(crate) const OURS: &str = "inbound-webhook";
/// The name of the floor.
pub(crate) const FLOOR: &str = "hello world";
/// The name of hello world that makes as many requests as the job.
pub(crate) const BARE: &str = "three requests";
/// The name of the job in Node.
pub(crate) const NODE: &str = "Node";

impl Subject {
    /// Whether it is one of those that take much longer than ours.
    pub(crate) fn is_slow(&self) -> bool {
        self.does_the_job && self.name != OURS
    }

    /// Its variables, with everybody it calls at one place.
    pub(crate) fn environment(&self, at: &At) -> Environment {
        let mut environment = self.variables.clone();
        let scheme = if let Some(root) = &at.root {
            // Ours, Node's, boto3's, and that of Python's requests, in which Twilio's library asks.
            for name in ["TLS_ROOTS_FILE", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"] {
                environment.insert(name.to_owned(), root.display().to_string());
            }
            "https"
        } else {
            "http"
        };
        for (name, place) in [
            ("AWS_ENDPOINT_URL_DYNAMODB", at.places.dynamodb),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", at.places.secrets),
            ("TWILIO_FLEX_API_URL", at.places.twilio),
            ("TWILIO_CONVERSATIONS_API_URL", at.places.twilio),
            ("TWILIO_TASKROUTER_API_URL", at.places.twilio),
            ("TWILIO_IAM_API_URL", at.places.twilio),
        ] {
            environment.insert(name.to_owned(), format!("{scheme}://{place}"));
        }
        environment
    }

    /// The same under callgrind, which writes its counts to a file.
    pub(crate) fn under_callgrind(&self, folder: &Path, counts: &Path) -> anyhow::Result<Self> {
        let command = format!(
            "exec {} --quiet --tool=callgrind --callgrind-out-file='{}' '{}'",
            found("valgrind")?,
            counts.display(),
            self.binary.display()
        );
        Ok(Self { binary: script(&folder.join("counted"), &command)?, ..self.clone() })
    }

    /// The size of its deployment package in bytes: what `zip -9` makes of it, without what Lambda brings along and what
    /// only the build needs.
    pub(crate) fn package_size(&self) -> anyhow::Result<u64> {
        const NOT_IN_IT: [&str; 4] = ["*/aws-lambda-ric/*", "*/awslambdaric*", "*/esbuild/*", "*/@esbuild/*"];
        let (folder, what) = &self.package;
        let place = tempfile::tempdir()?;
        let package = place.path().join("package.zip");
        let zip = Command::new("zip")
            .args(["-9", "-q", "-r", "-y", "-X"])
            .arg(&package)
            .args(what)
            .arg("-x")
            .args(NOT_IN_IT)
            .current_dir(folder)
            .output()
            .context("zip is not there")?;
        ensure!(zip.status.success(), "zip: {}", String::from_utf8_lossy(&zip.stderr));
        Ok(fs::metadata(package)?.len())
    }
}

/// The variables that `events/env.json` gives a function, without those that say where things are, and the auth token
/// among them.
fn variables() -> anyhow::Result<(Environment, String)> {
    let file: Value = serde_json::from_str(include_str!("../../events/env.json"))?;
    let mut given: BTreeMap<String, String> = serde_json::from_value(file["Parameters"].clone())?;
    let token = given.remove("TWILIO_AUTH_TOKEN").context("events/env.json has no token")?;
    given.retain(|name, _| !name.ends_with("_URL") || name == "PUBLIC_BASE_URL");
    given.remove("AWS_ENDPOINT_URL_DYNAMODB");
    given.retain(|name, _| !name.starts_with("TWILIO_API_KEY"));
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:flexglue-000000";
    given.insert("TWILIO_SECRET_ARN".to_owned(), arn.to_owned());
    Ok((given, token))
}

/// The auth token that the events are signed with.
pub(crate) fn token() -> anyhow::Result<String> {
    Ok(variables()?.1)
}

/// Our functions and the floor, out of the folder that `cargo build --release` has put them into.
pub(crate) fn ours(release: &Path) -> anyhow::Result<Vec<Subject>> {
    let (variables, _) = variables()?;
    let floors = ["floor", "bare"].map(|name| (name, FUNCTIONS[0].1, "hello, world"));
    floors
        .into_iter()
        .chain(FUNCTIONS)
        .map(|(name, event, answer)| subject(release, &variables, name, event, answer))
        .collect()
}

fn subject(
    release: &Path,
    variables: &Environment,
    name: &'static str,
    event: &str,
    answer: &'static str,
) -> anyhow::Result<Subject> {
    let binary = release.join(name);
    ensure!(binary.exists(), "{} is not there: build it first", binary.display());
    let does_the_job = name == OURS;
    Ok(Subject {
        name: match name {
            "floor" => FLOOR,
            "bare" => BARE,
            function => function,
        },
        package: (release.to_path_buf(), vec![name]),
        binary,
        variables: variables.clone(),
        event: serde_json::from_str(event)?,
        answer,
        does_the_job,
    })
}

/// The same job in Node, as it is and bundled, and in Python, installed below `folder`.
pub(crate) fn others(folder: &Path) -> anyhow::Result<Vec<Subject>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let node = folder.join("node");
    install(
        &source.join("node"),
        &node,
        &["package.json", "index.js"],
        "node_modules",
        &["npm", "install", "--silent", "--no-audit", "--no-fund"],
    )?;
    run(
        &node,
        &[
            "npx",
            "esbuild",
            "index.js",
            "--bundle",
            "--minify",
            "--platform=node",
            "--target=node20",
            "--outfile=bundle.js",
            "--log-level=error",
        ],
    )?;
    let python = folder.join("python");
    install(
        &source.join("python"),
        &python,
        &["requirements.txt", "app.py"],
        "packages",
        &["python3", "-m", "pip", "install", "--quiet", "--target", "packages", "-r", "requirements.txt"],
    )?;
    let ric = "node_modules/aws-lambda-ric/bin/index.mjs";
    Ok(vec![
        other(
            NODE,
            &node,
            &format!("exec {} {ric} index.handler", found("node")?),
            vec!["index.js", "node_modules"],
        )?,
        other(
            "Node, bundled",
            &node,
            &format!("exec {} {ric} bundle.handler", found("node")?),
            vec!["bundle.js"],
        )?,
        other(
            "Python",
            &python,
            &format!("export PYTHONPATH=packages\nexec {} -m awslambdaric app.handler", found_python()?),
            vec!["app.py", "packages"],
        )?,
    ])
}

/// Copies `files`, of which the first says what is needed, and runs `command` unless it has run for that before.
fn install(from: &Path, to: &Path, files: &[&str], makes: &str, command: &[&str]) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    let before = files.first().and_then(|needs| fs::read(to.join(needs)).ok());
    for file in files {
        fs::copy(from.join(file), to.join(file))?;
    }
    let now = files.first().and_then(|needs| fs::read(to.join(needs)).ok());
    if before == now && to.join(makes).exists() { Ok(()) } else { run(to, command) }
}

fn run(folder: &Path, command: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(command[0]).args(&command[1..]).current_dir(folder).status();
    let status = status.with_context(|| format!("{} is not there", command[0]))?;
    ensure!(status.success(), "{} failed", command.join(" "));
    Ok(())
}

/// Where a program is: a function's process has no `PATH`.
fn found(program: &str) -> anyhow::Result<String> {
    told_by(program, &format!("command -v {program}"))
}

/// Where Python is: what `PATH` has may be a script of a version manager, which wants variables.
fn found_python() -> anyhow::Result<String> {
    told_by("python3", "python3 -c 'import sys; print(sys.executable)'")
}

fn told_by(program: &str, command: &str) -> anyhow::Result<String> {
    let output = Command::new("sh").args(["-c", command]).output()?;
    let path = String::from_utf8(output.stdout)?.trim().to_owned();
    ensure!(!path.is_empty(), "{program} is not there");
    Ok(path)
}

/// A program that runs a command.
fn script(path: &Path, command: &str) -> anyhow::Result<PathBuf> {
    fs::write(path, format!("#!/bin/sh\n{command}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(path.to_path_buf())
}

fn other(
    name: &'static str,
    folder: &Path,
    command: &str,
    package: Vec<&'static str>,
) -> anyhow::Result<Subject> {
    let binary = folder.join(format!("start-{}", name.replace(", ", "-").to_lowercase()));
    let binary = script(&binary, &format!("cd '{}'\n{command}", folder.display()))?;
    Ok(Subject {
        name,
        binary,
        variables: variables()?.0,
        event: serde_json::from_str(FUNCTIONS[0].1)?,
        answer: "created",
        does_the_job: true,
        package: (folder.to_path_buf(), package),
    })
}
