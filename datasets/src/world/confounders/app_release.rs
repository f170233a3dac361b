//! A new version of the app that asks for more: a route that nobody knew, and thrice as many notifications.

use super::{Confounder, Day, MINUTE};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "app-release",
    summary: "from the third day on an app that calls a new route and polls notifications",
    day,
};

const AGENT: &str = "ExampleShop/8.0.0 (Android 15; Pixel 8) okhttp/4.12.0";

fn day(day: &mut Day) {
    if day.number < 2 {
        return;
    }
    for person in 0..day.count(400.0) {
        let start = day.busy_time();
        day.get(start, person, format!("/v2/feed/{}", 100_001 + day_product(person)), 7_000, AGENT);
        for poll in 0..4 {
            day.get(start + poll * 2 * MINUTE, person, "/v1/notifications?unread=true".into(), 800, AGENT);
        }
    }
}

fn day_product(person: u64) -> u64 {
    person * 7_919 % 20_000
}
