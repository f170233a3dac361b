//! `combined`: nginx's predefined format and Apache's usual one, which have the same shape.

use std::time::Duration;

use super::clf::{Prefix, head};
use super::{Format, LOGGED_WITH_START, Line};
use crate::reject::RejectReason;
use crate::row::Row;

/// See the module.
pub(super) const FORMAT: Combined = Combined;

/// See the module.
pub(super) struct Combined;

impl Format for Combined {
    fn name(&self) -> &'static str {
        "combined"
    }

    fn layout(&self) -> &'static str {
        r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#
    }

    fn default_lateness(&self) -> Duration {
        LOGGED_WITH_START // Apache's; a line does not say whose it is
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        let mut fields = head(line, row, Prefix::Client)?;
        row.text.referer = fields.text(row)?;
        row.text.user_agent = fields.text(row)?;
        fields.trailing(row)
    }
}
