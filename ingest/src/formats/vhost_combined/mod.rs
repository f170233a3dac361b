//! `vhost_combined`: Apache's `combined` behind the virtual host's name and port (Debian's `other_vhosts_access.log`), or
//! behind the name alone.

use std::time::Duration;

use super::clf::{Prefix, head};
use super::{Format, LOGGED_WITH_START, Line};
use crate::reject::RejectReason;
use crate::row::Row;

/// See the module.
pub(super) const FORMAT: VhostCombined = VhostCombined;

/// See the module.
pub(super) struct VhostCombined;

impl Format for VhostCombined {
    fn name(&self) -> &'static str {
        "vhost_combined"
    }

    fn layout(&self) -> &'static str {
        r#"%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i""#
    }

    fn default_lateness(&self) -> Duration {
        LOGGED_WITH_START
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        let mut fields = head(line, row, Prefix::VirtualHost)?;
        row.text.referer = fields.text(row)?;
        row.text.user_agent = fields.text(row)?;
        fields.trailing(row)
    }
}
