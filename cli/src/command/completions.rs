//! `flexglue completions`: a script by which a shell completes commands and options.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;

/// Options of `flexglue completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> ExitCode {
        clap_complete::generate(self.shell, &mut Cli::command(), "flexglue", &mut std::io::stdout());
        ExitCode::SUCCESS
    }
}
