//! The program `tripline`. Everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tripline::cli::main()
}
