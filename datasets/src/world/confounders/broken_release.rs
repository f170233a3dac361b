//! A release whose pages ask for files and routes that are not there, for half an hour.

use super::{Confounder, Day, MINUTE, browser};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "broken-release",
    summary: "on the fourth day everybody gets 404 for ten files and routes, for half an hour",
    day,
};

fn day(day: &mut Day) {
    if day.number % 7 != 3 {
        return;
    }
    let names = ["app", "vendor", "cart", "search", "account", "orders", "help", "map", "lists", "intl"];
    for person in 0..day.count(60.0) {
        let time = day.at(13, 0) + day.below(30 * MINUTE.unsigned_abs()) as i64;
        for (nth, name) in (0..).zip(names) {
            let target = if nth < 8 { format!("/static/{name}.7d1e.js") } else { format!("/v3/{name}") };
            day.add(time + nth * 40_000, person, "GET", target, 404, 150, browser(person));
            day.mark_from_page();
        }
    }
}
