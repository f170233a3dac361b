//! A product in the news: for half an hour the site has many times its visitors, most of them on one page.

use super::{Confounder, Day, MINUTE, SECOND, browser};
use crate::ids::account_id;

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "flash-crowd",
    summary: "every other day half an hour with 10 to 50 times the visitors; one in ten signs in",
    day,
};

fn day(day: &mut Day) {
    if day.number.is_multiple_of(2) {
        return;
    }
    let (times, start, product) = (10 + day.below(41), day.at(17, 0) + day.below(3_600) as i64 * SECOND, 100_001 + day.below(20_000));
    // A visit is about eight requests.
    let visitors = (day.rate * 1_800.0 / 8.0 * times as f64) as u64;
    for _ in 0..visitors {
        let person = day.below(60_000);
        // More at first, fewer with time.
        let mut time = start + (day.below(1_800) * day.below(1_800) / 1_800) as i64 * SECOND + day.below(MINUTE.unsigned_abs()) as i64;
        let account = account_id(9_000_000 + person);
        let mut targets = vec![format!("/products/{product}"), format!("/v1/products/{product}"), format!("/v1/products/{product}/reviews?limit=10")];
        if person.is_multiple_of(10) {
            targets.extend([format!("/v1/users/{account}"), format!("/v1/users/{account}/addresses"), format!("/v1/products/{}", 100_001 + day.below(20_000))]);
        }
        for (nth, target) in targets.into_iter().enumerate() {
            day.get(time, person, target, 3_000, browser(person));
            if nth > 0 {
                day.mark_from_page();
            }
            time += 150_000 + day.below(9_000_000) as i64;
        }
    }
}
