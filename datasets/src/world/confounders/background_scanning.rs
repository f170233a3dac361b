//! What every public site gets: a thousand addresses a day that try well-known paths.

use super::{Confounder, Day, SECOND, browser};

pub(super) const CONFOUNDER: Confounder = Confounder {
    name: "background-scanning",
    summary: "a thousand addresses a day try five well-known paths each",
    day,
};

const PATHS: [&str; 12] = [
    "/.env", "/.git/config", "/wp-login.php", "/admin", "/phpmyadmin/index.php", "/actuator/health", "/server-status",
    "/cgi-bin/luci", "/boaform/admin/formLogin", "/api/v1/pods", "/solr/admin/info/system", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
];

fn day(day: &mut Day) {
    // It does not grow with the site.
    for scanner in 0..1_000 {
        let (start, first) = (day.start_us + day.below(86_000) as i64 * SECOND, day.below(12));
        for nth in 0..5 {
            let path = PATHS[((first + nth) % 12) as usize];
            let address = day.number * 1_000 + scanner;
            day.add(start + nth as i64 * 3 * SECOND, address, "GET", path.into(), 404, 150, browser(scanner % 3));
        }
    }
}
