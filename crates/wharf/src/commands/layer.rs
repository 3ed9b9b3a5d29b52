//! `wharf layer …`: what the derivations of images call inside a sandbox. Not for people, so it is not listed.

use crate::failure::Failure;

/// The arguments go to the image library as they are.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<i32, Failure> {
    image::command::run(&arguments.arguments)?;
    Ok(0)
}
