//! Programs of Debian packages, as they are deployed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// One installation at a time.
static INSTALLING: Mutex<()> = Mutex::new(());

/// The path of a program, such as `/usr/sbin/nginx`, of a package. `None`, with a message, where it is not there; in continuous
/// integration (`CI=true`) it is installed, without being started.
pub fn program(package: &str, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    if !path.is_file() && std::env::var("CI").as_deref() == Ok("true") {
        let _alone = INSTALLING.lock().expect("no installation failed");
        install(package).unwrap_or_else(|why| panic!("{package} must be there when CI=true: {why}"));
    }
    if path.is_file() {
        return Some(path.to_owned());
    }
    eprintln!("skipped: {} is not there; apt-get install {package}", path.display());
    None
}

fn install(package: &str) -> Result<(), String> {
    let arguments = ["install", "--yes", "--quiet", "--no-install-recommends", package];
    // In run level 1 no service is started.
    let environment = [("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")];
    match Command::new("apt-get").args(arguments).envs(environment).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(e) => Err(e.to_string()),
    }
}
