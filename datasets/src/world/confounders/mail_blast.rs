//! A newsletter: link-preview bots and mail scanners open every link first, people follow.

use super::{Confounder, Day, MINUTE, browser};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "mail-blast",
    summary: "every third day a newsletter: preview bots open each reader's own link, people follow",
    day,
};

fn day(day: &mut Day) {
    if day.number % 3 != 1 {
        return;
    }
    let start = day.at(9, 30);
    for reader in 0..day.count(250.0) {
        let time = start + day.below(10 * MINUTE.unsigned_abs()) as i64;
        let link = format!("/n/{}?u={}", day.number, crate::random::mix2(31, reader) % 1_000_000_000);
        // The scanners of a few mail providers.
        day.get(time, reader % 12, link.clone(), 9_000, "Mozilla/5.0 (compatible; MailLinkScan/1.0; +https://scan.example.net)");
        if reader.is_multiple_of(5) {
            let opened = time + day.below(90 * MINUTE.unsigned_abs()) as i64;
            day.get(opened, 100 + reader, link, 9_000, browser(reader));
        }
    }
}
