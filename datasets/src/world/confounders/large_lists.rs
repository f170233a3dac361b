//! A list view with 20 to 200 items, each fetched by itself within two seconds, often consecutive ids.

use super::{Confounder, Day, SECOND, app};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "large-lists",
    summary: "lists whose 20 to 200 items are fetched one by one within two seconds",
    day,
};

fn day(day: &mut Day) {
    for person in 0..day.count(60.0) {
        let mut time = day.busy_time();
        for _ in 0..=day.below(3) {
            let (items, first, step) = (20 + day.below(181), 100_001 + day.below(19_000), 1 + day.below(3));
            day.get(time, person, "/v1/categories/lamps/products?page=1&limit=200".into(), 18_000, app(person));
            for item in 0..items {
                let fetched = time + 100_000 + (item * 1_900_000 / items) as i64;
                day.get(fetched, person, format!("/v1/products/{}", first + item * step), 2_400, app(person));
            }
            time += (20 + day.below(200) as i64) * SECOND;
        }
    }
}
