//! `tripline alerts exceptions`: what the config's exceptions have covered, and until when they hold.

use std::io::{self, Write as _};

use anyhow::Result;
use serde_json::json;
use tripline_alert::desk::Desk;

use super::output::{plain, thousands};
use super::state::{Format, json_lines, table};
use crate::config::Config;
use crate::exceptions::{SPACE, end_us, hits_of};
use crate::run::now_ms;

/// Lists them in the order of the config.
pub fn show(config: &Config, desk: &Desk, format: Format) -> Result<()> {
    let kept = desk.kept(SPACE)?;
    let now = now_ms().saturating_mul(1_000);
    let rows: Vec<_> = config
        .exceptions
        .iter()
        .map(|e| {
            json!({
                "rules": e.rules, "where": e.condition, "owner": e.owner, "reason": e.reason, "expires": e.expires.to_string(),
                "expired": end_us(e) <= now, "requests": hits_of(&kept, e),
            })
        })
        .collect();
    if format == Format::Json {
        return json_lines(&rows);
    }
    let mut table = table(&["rules", "where", "owner", "reason", "expires", "requests"]);
    for (e, row) in config.exceptions.iter().zip(&rows) {
        let expires = if row["expired"] == true { format!("{}: expired", e.expires) } else { e.expires.to_string() };
        table.add_row([
            plain(&e.rules.join(" "), 60),
            plain(&e.condition, 120),
            plain(&e.owner, 60),
            plain(&e.reason, 120),
            expires,
            thousands(hits_of(&kept, e)),
        ]);
    }
    writeln!(io::stdout(), "{table}")?;
    Ok(())
}
