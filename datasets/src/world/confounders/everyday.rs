//! What the shop's people do beside shopping: sign up, invite a friend, upload their contacts, and what staff do.

use super::{Confounder, Day, SECOND, app, browser};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "everyday",
    summary: "sign-ups, lookups of friends, uploads of contacts, lists for the staff",
    day,
};

fn day(day: &mut Day) {
    for person in 0..day.count(200.0) {
        let mut time = day.busy_time();
        for _ in 0..=day.below(3) {
            day.add(time, person, "POST", "/v1/signup/checks".into(), 200, 60, app(person));
            time += (3 + day.below(20) as i64) * SECOND;
        }
        day.add(time, person, "POST", "/v1/signup".into(), 201, 410, app(person));
    }
    for person in 0..day.count(120.0) {
        let time = day.busy_time();
        for nth in 0..=day.below(4) {
            let (status, id) = (if day.below(10) < 4 { 200 } else { 404 }, day.below(40_000_000));
            let target = match id % 3 {
                0 => format!("/v1/contacts?phone=%2B4915{:09}", 7 * id),
                1 => format!("/v1/contacts?email=friend{id}@mail.example"),
                _ => format!("/v1/members/friend{id}@mail.example"),
            };
            day.add(time + nth as i64 * 15 * SECOND, 20_000 + person, "GET", target, status, 210, app(person));
        }
    }
    for person in 0..day.count(20.0) {
        let time = day.busy_time();
        for part in 0..=day.below(3) {
            let bytes = day.size(4_000);
            day.add(time + part as i64 * SECOND, 40_000 + person, "POST", "/v1/contacts/uploads".into(), 200, bytes, app(person));
        }
    }
    for person in 0..4 {
        for _ in 0..day.count(2.0).min(40) {
            let time = day.at(8, 0) + day.below(9 * 3_600) as i64 * SECOND;
            for page in 1..=1 + day.below(4) {
                let target = format!("/v1/users?page={page}&limit=50");
                day.get(time + page as i64 * 8 * SECOND, 50_000 + person, target, 21_000, browser(person));
                day.mark_from_page();
            }
        }
    }
}
