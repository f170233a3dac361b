//! The text formats that are known by the strings that make servers write them.

use std::sync::OnceLock;
use std::time::Duration;

use super::field::Meaning;
use super::template::Template;
use super::{Format, Line};
use crate::reject::RejectReason;
use crate::row::Row;

/// A text format.
pub(super) struct TextFormat {
    name: &'static str,
    lateness: Duration,
    /// The first that fits counts.
    layouts: &'static [&'static str],
    meaning: fn(&str) -> Meaning,
    templates: OnceLock<Vec<Template>>,
}

impl TextFormat {
    pub(super) const fn new(
        name: &'static str,
        lateness: Duration,
        layouts: &'static [&'static str],
        meaning: fn(&str) -> Meaning,
    ) -> Self {
        Self { name, lateness, layouts, meaning, templates: OnceLock::new() }
    }

    fn templates(&self) -> &[Template] {
        let compile =
            |layout: &&str| Template::new(layout, self.meaning).expect("a test compiles every built-in layout");
        self.templates.get_or_init(|| self.layouts.iter().map(compile).collect())
    }
}

impl Format for TextFormat {
    fn name(&self) -> &str {
        self.name
    }

    fn layout(&self) -> &str {
        self.layouts.first().copied().unwrap_or_default()
    }

    fn default_lateness(&self) -> Duration {
        self.lateness
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        parse_any(self.templates(), line, row)
    }
}

/// By the first template that fits, or the reason why the first does not.
fn parse_any<'a>(templates: &[Template], line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
    let mut first = RejectReason::OtherLayout;
    for (n, template) in templates.iter().enumerate() {
        match template.parse(line, row) {
            Ok(()) => return Ok(()),
            Err(reason) if n == 0 => first = reason,
            Err(_) => {}
        }
        row.clear();
    }
    Err(first)
}
