//! `wharf man [DIR]`.

use std::path::PathBuf;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::environment::VARIABLES;
use crate::failure::Failure;

/// Write the manual pages
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wharf man ~/.local/share/man/man1\n  wharf man | man -l -")]
pub(crate) struct Arguments {
    /// Where to write a page for each command; without it, wharf's own page is printed
    directory: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, definition: clap::Command) -> Result<i32, Failure> {
    let Some(directory) = &arguments.directory else {
        let mut page = Vec::new();
        Man::new(definition).render(&mut page)?;
        environment_section().to_writer(&mut page)?;
        crate::output::write_bytes(&page);
        return Ok(0);
    };
    std::fs::create_dir_all(directory).map_err(|error| Failure::io("create", directory, error))?;
    clap_mangen::generate_to(definition, directory)
        .map_err(|error| Failure::io("write the manual pages to", directory, error))?;
    Ok(0)
}

fn environment_section() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in VARIABLES {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*meaning)]);
    }
    roff
}
