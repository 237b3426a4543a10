//! `flexglue`: the command line.

use std::process::ExitCode;

use clap::Parser;
use flexglue::command::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("flexglue: {error:#}");
            ExitCode::from(2)
        }
    }
}
