//! A machine of the site's own that reads the whole catalogue each night.

use super::{Confounder, Day};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "cache-warmer",
    summary: "one address reads 5,000 products in sequence each night at four, 20/s",
    day,
};

fn day(day: &mut Day) {
    for product in 0..5_000 {
        let time = day.at(4, 0) + product * 50_000;
        day.get(time, 0, format!("/v1/products/{}", 100_001 + product), 2_400, "cache-warmer/1.4");
    }
}
