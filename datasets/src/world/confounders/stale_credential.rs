//! Devices with an old password that retry for ever.

use super::{Confounder, Day, SECOND, app};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "stale-credential",
    summary: "a few devices sign in with an old password every half minute, all day",
    day,
};

fn day(day: &mut Day) {
    for device in 0..day.count(0.2).max(2) {
        for nth in 0..2_880 {
            let time = day.start_us + nth * 30 * SECOND + day.below(2_000_000) as i64;
            day.add(time, device, "POST", "/v1/login".into(), 401, 60, app(device));
        }
    }
}
