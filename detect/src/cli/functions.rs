//! `tripline functions`: the SQL functions that Tripline adds, as they document themselves.

use std::io::{self, Write};

use anyhow::{Result, bail};
use datafusion::logical_expr::Documentation;

use super::Outcome;
use crate::functions::documentation;

/// Arguments of `functions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Beside these there are the functions of DataFusion's SQL, and tumble and hop.")]
pub struct Args {
    /// Only this one, with its arguments and an example
    name: Option<String>,
}

/// Runs the command.
pub fn main(args: &Args) -> Result<Outcome> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let all = documentation();
    match &args.name {
        None => all.values().try_for_each(|one| {
            writeln!(
                out,
                "{}\n    {}",
                one.syntax_example,
                one.description.split_inclusive(". ").next().unwrap_or("").trim_end()
            )
        })?,
        Some(name) => match all.get(&name.to_lowercase()) {
            Some(one) => describe(&mut out, one)?,
            None => bail!("Tripline adds no function {name}; `tripline functions` lists them"),
        },
    }
    out.flush()?;
    Ok(Outcome::Done)
}

fn describe(out: &mut impl Write, function: &Documentation) -> io::Result<()> {
    writeln!(out, "{}\n\n{}\n", function.syntax_example, function.description)?;
    for (name, meaning) in function.arguments.iter().flatten() {
        writeln!(out, "  {name}: {meaning}")?;
    }
    match &function.sql_example {
        Some(example) => writeln!(out, "\n{example}"),
        None => Ok(()),
    }
}
