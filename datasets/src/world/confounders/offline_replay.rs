//! Apps that were offline and send what they have queued, all at once.

use super::{Confounder, Day, app};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "offline-replay",
    summary: "apps send 50 to 400 queued changes of their owner's notes within seconds",
    day,
};

fn day(day: &mut Day) {
    for device in 0..day.count(4.0) {
        let (start, first, changes) = (day.busy_time(), day.below(80_000_000), 50 + day.below(351));
        for change in 0..changes {
            let target = format!("/v1/notes/{}", first + change * 3);
            day.add(start + change as i64 * 40_000, day.number * 2_000 + device, "PUT", target, 200, 90, app(device));
        }
    }
}
