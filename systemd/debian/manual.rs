//! Writes what a package carries besides the program: manual pages and completions, from the command
//! line itself. `cargo run --example manual -- FOLDER`

use std::io;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use outstation::cli::Cli;

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    write(&folder.ok_or_else(|| io::Error::other("usage: cargo run --example manual -- FOLDER"))?)
}

fn write(folder: &Path) -> io::Result<()> {
    let (pages, completions) = (folder.join("man"), folder.join("completions"));
    std::fs::create_dir_all(&pages)?;
    std::fs::create_dir_all(&completions)?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    write_pages(&command, &pages)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "outstation", &completions)?;
    }
    Ok(())
}

/// The page of a command and those of its subcommands.
fn write_pages(command: &Command, folder: &Path) -> io::Result<()> {
    for command in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        write_pages(command, folder)?;
    }
    // clap_mangen lets the lines of what follows the help run together.
    let man = Man::new(command.clone().after_help(None::<&'static str>));
    let mut page = Vec::new();
    man.render(&mut page)?;
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines: Vec<&str> = after.lines().filter(|line| !line.is_empty()).collect();
    for lines in lines.chunk_by(|one, next| heading(one) == heading(next)) {
        section(lines).to_writer(&mut page)?;
    }
    std::fs::write(folder.join(man.get_filename()), page)
}

const EXAMPLES: &str = "EXAMPLES";

/// Where readers of manuals look for such a line.
fn heading(line: &str) -> &'static str {
    match line.split(' ').next() {
        Some("Exit") => "EXIT STATUS",
        Some("OUTSTATION_LOG") => "ENVIRONMENT",
        // A table: what, and how.
        _ if line.contains(":  ") => EXAMPLES,
        _ => "NOTES",
    }
}

/// Lines under one heading: examples as they stand, all others filled.
fn section(lines: &[&str]) -> Roff {
    let (mut section, heading) = (Roff::new(), heading(lines[0]));
    section.control("SH", [heading]);
    if heading == EXAMPLES {
        section.control("nf", []);
    }
    for line in lines {
        section.text([roman(*line)]);
    }
    if heading == EXAMPLES {
        section.control("fi", []);
    }
    section
}
