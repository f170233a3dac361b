//! Carriers and schools that put a thousand people behind one address: each reads what is their own.

use super::{Confounder, Day, SECOND, app, browser};
use crate::ids::{account_id, order_id, product_of_rank};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "carriers",
    summary: "three addresses with hundreds of people each, who read their own accounts and orders",
    day,
};

fn day(day: &mut Day) {
    for carrier in 0..3 {
        for _ in 0..day.count(40.0).min(4_000) {
            let (mut time, person) = (day.busy_time(), day.below(1_000));
            let account = account_id(5_000_000 + carrier * 1_000 + person);
            let is_app = person.is_multiple_of(2);
            for look in 0..=day.below(6) {
                let (product, order) = (product_of_rank(1 + day.below(3_000)), order_id(account, look));
                let target = match day.below(5) {
                    0 => format!("/v1/users/{account}"),
                    1 => format!("/v1/users/{account}/addresses"),
                    2 => format!("/v1/orders/{order}"),
                    3 => format!("/v1/invoices?order_id={order}"),
                    _ => format!("/v1/products/{product}"),
                };
                let size = day.size(900);
                day.get(time, carrier, target, size, if is_app { app(person) } else { browser(person) });
                if !is_app {
                    day.mark_from_page();
                }
                time += (5 + day.below(40) as i64) * SECOND;
            }
        }
    }
}
