//! `frazil completions`: what a shell needs to complete the command.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;

/// Arguments of `frazil completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  frazil completions bash > ~/.local/share/bash-completion/completions/frazil"
)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Prints the completions.
///
/// # Errors
/// If nobody reads them.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "frazil", &mut script);
    let mut out = io::stdout().lock();
    match out.write_all(&script).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
