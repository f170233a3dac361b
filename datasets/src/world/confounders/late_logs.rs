//! A node whose lines reach the log two minutes late.

use super::{Confounder, Day, MINUTE, SECOND, browser};
use crate::ids::product_of_rank;

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "late-logs",
    summary: "on the third day the lines of one node are two minutes late, for an hour",
    day,
};

fn day(day: &mut Day) {
    let late_hour = (day.at(10, 0), day.at(11, 0));
    for person in 0..day.count(300.0) {
        let start = day.busy_time();
        for look in 0..3 {
            let target = format!("/v1/products/{}", product_of_rank(1 + day.below(2_000)));
            day.get(start + look * 25 * SECOND, person, target, 2_400, browser(person));
            day.mark_from_page();
            let is_late = day.number % 7 == 2 && (late_hour.0..late_hour.1).contains(&start);
            if let Some(event) = day.events.last_mut().filter(|_| is_late) {
                event.late_us = 2 * MINUTE;
            }
        }
    }
}
