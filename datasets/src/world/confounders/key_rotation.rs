//! A partner who reads a few hundred orders an hour, and on the third day has another key and another address.

use super::{Confounder, Day, HOUR};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "key-rotation",
    summary: "a partner reads 40 orders an hour; on the third day its key and address change",
    day,
};

fn day(day: &mut Day) {
    let user = if day.number < 2 { "partner-key-1" } else { "partner-key-2" };
    for hour in 0..24 {
        for order in 0..40_u64 {
            let time = day.start_us + hour * HOUR + order as i64 * 90_000_000;
            let target = format!("/v1/orders/{}", 1 + crate::random::mix2(day.number * 24 + hour as u64, order) % 5_000_000);
            day.get(time, day.number / 2, target, 1_300, "ExampleWarehouse/5.1 (+https://warehouse.example.com)");
            if let Some(event) = day.events.last_mut() {
                event.user = user;
            }
        }
    }
}
