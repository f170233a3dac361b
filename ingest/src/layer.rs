//! Layers: a load balancer, a proxy and a sidecar may all log the same request. Of each host the rows of one layer count;
//! which one, the config says, so that it is the same in every mode.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::identity::without_port;

/// Which rows of a source's layer count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Whether they count for hosts that are not among `others`, and where the log names none.
    pub counts: bool,
    /// Hosts (lower case, without a port) for which it is the other way round.
    pub others: BTreeSet<String>,
}

impl Layer {
    /// Whether a row of this host counts.
    pub(crate) fn counts(&self, host: Option<&str>) -> bool {
        if self.others.is_empty() {
            return self.counts;
        }
        let is_other = host.is_some_and(|host| {
            let host = without_port(host);
            let upper = host.bytes().any(|b| b.is_ascii_uppercase());
            let host: Cow<'_, str> = if upper { host.to_ascii_lowercase().into() } else { host.into() };
            self.others.contains(&*host)
        });
        self.counts != is_other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_can_be_the_exception() {
        for counts in [true, false] {
            let layer = Layer { counts, others: ["static.example.com".to_owned()].into() };
            for (host, is_other) in [
                (Some("Static.Example.com:443"), true),
                (Some("static.example.com"), true),
                (Some("www.example.com"), false),
                (None, false),
            ] {
                assert_eq!(layer.counts(host), counts != is_other, "{host:?}");
            }
        }
    }
}
