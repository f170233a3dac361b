//! The first sync of a new phone: it fetches all its owner's photos, one after the other. And everyday use of photos.

use super::{Confounder, Day, SECOND, app};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "device-sync",
    summary: "new phones fetch their owner's 50 to 5,000 photos, consecutive ids, 3/s; others look at a few",
    day,
};

fn day(day: &mut Day) {
    for device in 0..day.count(3.0) {
        // Pareto 1: half have fewer than 100, one in a hundred has 5,000.
        let photos = (50 * 10_000 / (1 + day.below(10_000))).min(5_000);
        let (start, first) = (day.busy_time(), 10_000_000 + day.below(90_000_000));
        let address = day.number * 4_000 + device;
        for photo in 0..photos {
            let time = start + photo as i64 * 330_000;
            day.get(time, address, format!("/v1/photos/{}", first + photo), 180_000, app(device));
        }
    }
    for person in 0..day.count(60.0) {
        let (start, first) = (day.busy_time(), 10_000_000 + day.below(90_000_000));
        for look in 0..=day.below(8) {
            let time = start + look as i64 * 9 * SECOND;
            day.get(time, 30_000 + person, format!("/v1/photos/{}", first + day_step(look)), 180_000, app(person));
        }
    }
}

fn day_step(look: u64) -> u64 {
    look * look
}
