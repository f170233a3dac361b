//! Which destinations get which alerts.

use crate::alert::Alert;
use crate::finding::Severity;
use crate::grouping::Grouping;

/// The rule that failing destinations are alerts of.
pub const DESTINATION_RULE: &str = "tripline/destination-failing";

/// A destination and what it wants. All conditions must hold; an empty list is no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination's name.
    pub destination: String,
    /// The least severity.
    pub severity: Severity,
    /// Rules' ids, or patterns of them: `*` stands for any text.
    pub rules: Vec<String>,
    /// Owners of rules.
    pub owners: Vec<String>,
    /// How its alerts are grouped; `None`: each is a message of its own.
    pub grouping: Option<Grouping>,
}

impl From<String> for Route {
    /// Everything goes there.
    fn from(destination: String) -> Self {
        Self { destination, severity: Severity::Info, rules: Vec::new(), owners: Vec::new(), grouping: None }
    }
}

impl From<&str> for Route {
    fn from(destination: &str) -> Self {
        destination.to_owned().into()
    }
}

impl Route {
    /// Whether the destination gets an alert.
    pub fn takes(&self, alert: &Alert) -> bool {
        if alert.rule == DESTINATION_RULE && alert.entity.get("destination").is_some_and(|d| *d == *self.destination) {
            // Telling a destination that it cannot be told.
            return false;
        }
        let owner = alert.handling.owner.as_ref();
        alert.severity >= self.severity
            && (self.rules.is_empty() || self.rules.iter().any(|pattern| matches(pattern, &alert.rule)))
            && (self.owners.is_empty() || owner.is_some_and(|owner| self.owners.contains(owner)))
    }
}

/// Whether a text is as the pattern says; `*` stands for any text, everything else for itself.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By definition, letter by letter.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            Some((c, rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_they_are_defined(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            let letters = |s: &str| s.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), naive(&letters(&pattern), &letters(&text)));
        }
    }
}
