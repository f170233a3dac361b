//! After a deploy a route fails for ten minutes, and apps try again and again.

use super::{Confounder, Day, MINUTE, SECOND, app};
use crate::ids::account_id;

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "retry-storm",
    summary: "on the third day a route answers 503 for ten minutes; apps retry every two seconds, and succeed in the end",
    day,
};

fn day(day: &mut Day) {
    if day.number % 7 != 2 {
        return;
    }
    let (start, end) = (day.at(11, 0), day.at(11, 10));
    for person in 0..day.count(4.0) {
        let mut time = start + day.below(8 * MINUTE.unsigned_abs()) as i64;
        let target = format!("/v1/users/{}", account_id(7_000_000 + person));
        while time < end {
            day.add(time, person, "GET", target.clone(), 503, 90, app(person));
            time += 2 * SECOND + day.below(500_000) as i64;
        }
        let late = end + day.below(30_000_000) as i64;
        day.get(late, person, target, 620, app(person));
    }
}
