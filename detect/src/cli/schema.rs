//! `tripline schema`: the JSON Schema of what others read.

use super::Outcome;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of what
    what: What,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// The body of a webhook with `style = "native"`
    Alert,
}

/// Runs the command.
pub fn main(args: &Args) -> Outcome {
    match args.what {
        What::Alert => print!("{}", tripline_alert::destinations::SCHEMA),
    }
    Outcome::Done
}
