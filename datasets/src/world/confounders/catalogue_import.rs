//! Thousands of new products at once, which people then look at: objects that nobody has read before.

use super::{Confounder, Day, SECOND, browser};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "catalogue-import",
    summary: "on the third day 5,000 new products are written, and people look at them",
    day,
};

fn day(day: &mut Day) {
    if day.number < 2 {
        return;
    }
    if day.number == 2 {
        for product in 0..5_000 {
            let time = day.at(6, 0) + product * 200_000;
            day.add(time, 0, "PUT", format!("/v1/products/{}", 200_001 + product), 201, 40, "catalogue-import/3.0");
        }
    }
    for person in 0..day.count(300.0) {
        let start = day.busy_time();
        if start < day.at(6, 30) {
            continue; // (the new products are not there yet)
        }
        for look in 0..3 {
            let target = format!("/v1/products/{}", 200_001 + day.below(5_000));
            day.get(start + look * 20 * SECOND, 1 + person, target, 2_400, browser(person));
            day.mark_from_page();
        }
    }
}
