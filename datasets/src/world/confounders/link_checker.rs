//! A service that checks each night whether the shop's pages are still there.

use super::{Confounder, Day, SECOND};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "link-checker",
    summary: "one address asks for 2,000 pages by HEAD each night, one a second; one in twenty is gone",
    day,
};

fn day(day: &mut Day) {
    for page in 0..2_000_u64 {
        let id = 100_001 + (page * 7_919 + day.number) % 20_000;
        let (target, status) = if page.is_multiple_of(20) { (format!("/old/{id}"), 404) } else { (format!("/products/{id}"), 200) };
        day.add(day.at(1, 0) + page as i64 * SECOND, 0, "HEAD", target, status, 0, "LinkStatus/2.1 (+https://links.example.com)");
    }
}
