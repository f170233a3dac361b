//! A partner who reads each night's orders in sequence.

use super::{Confounder, Day};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "partner-export",
    summary: "one address reads 3,000 orders in sequence each night at two, 5/s",
    day,
};

fn day(day: &mut Day) {
    for order in 0..3_000 {
        let target = format!("/v1/orders/{}", 1_000_000 + day.number * 3_000 + order);
        let time = day.at(2, 0) + order as i64 * 200_000;
        day.get(time, 0, target, 1_300, "ExamplePartnerSync/2.3 (+https://partner.example.com)");
    }
}
