//! `main`: the format in the nginx.conf of nginx's own packages, `combined` with the forwarded-for header.

use std::time::Duration;

use super::clf::{Prefix, head};
use super::{Format, LOGGED_AT_END, Line};
use crate::reject::RejectReason;
use crate::row::{Row, present};

/// See the module.
pub(super) const FORMAT: Main = Main;

/// See the module.
pub(super) struct Main;

impl Format for Main {
    fn name(&self) -> &'static str {
        "main"
    }

    fn layout(&self) -> &'static str {
        r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for""#
    }

    fn default_lateness(&self) -> Duration {
        LOGGED_AT_END
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        let mut fields = head(line, row, Prefix::Client)?;
        row.text.referer = fields.text(row)?;
        row.text.user_agent = fields.text(row)?;
        let forwarded_for = fields.quoted()?.ok_or(RejectReason::TooFewFields)?;
        row.text.forwarded_for = present(forwarded_for.text(row.arena));
        // Anybody can send such a header; where every line has one, it is another field.
        row.extra.unknown += u32::from(!forwarded_for.raw.bytes().all(is_part_of_chain));
        fields.trailing(row)
    }
}

/// What addresses and their lists are written with, `unknown` and host names included.
fn is_part_of_chain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b',' | b' ' | b'-' | b'_' | b'[' | b']')
}
