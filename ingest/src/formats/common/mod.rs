//! `common`: the Common Log Format of NCSA httpd, Apache's `common`.

use std::time::Duration;

use super::clf::{Prefix, head};
use super::{Format, LOGGED_WITH_START, Line};
use crate::reject::RejectReason;
use crate::row::Row;

/// See the module.
pub(super) const FORMAT: Common = Common;

/// See the module.
pub(super) struct Common;

impl Format for Common {
    fn name(&self) -> &'static str {
        "common"
    }

    fn layout(&self) -> &'static str {
        r#"%h %l %u %t "%r" %>s %b"#
    }

    fn default_lateness(&self) -> Duration {
        LOGGED_WITH_START
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        head(line, row, Prefix::Client)?.trailing(row)
    }
}
