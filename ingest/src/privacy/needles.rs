//! What may announce a secret: parts of names, and how some tokens begin. Looked for in whole blocks, with SIMD where the
//! processor has it, so that lines without any cost little.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::AhoCorasick;
use aho_corasick::packed::Searcher;

/// Parts of names, in the spellings that occur. (All together 32: more are looked for at half the speed.)
const NAMES: [&str; 21] = [
    "oken",
    "OKEN",
    "ecret",
    "ECRET",
    "assw",
    "ASSW",
    "pwd",
    "PWD",
    "key",
    "Key",
    "KEY",
    "uthoriz",
    "UTHORIZ",
    "auth=",
    "ignature",
    "sig=",
    "redential",
    "ookie",
    "otp=",
    "code=",
    "code%",
];
/// What is of interest with a key alone: sessions, and e-mail addresses (for a bare `@` is looked beside).
const WITH_KEY: [&str; 4] = ["sess", "SESS", "sid=", "%40"];
/// How tokens begin, or what stands before them.
const TOKENS: [&str; 7] = ["eyJ", "earer", "Basic ", "AKIA", "ghp_", "sk_live", "sk-"];

/// Looks for all of them at once.
#[derive(Debug, Clone)]
pub(super) struct Needles {
    search: Option<Arc<Search>>,
    emails: bool,
}

#[derive(Debug)]
enum Search {
    Packed(Searcher),
    Automaton(AhoCorasick),
}

impl Needles {
    pub(super) fn new(recognised: bool, named: &[String], has_key: bool) -> Self {
        let mut patterns: BTreeSet<String> = BTreeSet::new();
        if recognised {
            let more = if has_key { &WITH_KEY[..] } else { &[] };
            patterns.extend(NAMES.iter().chain(&TOKENS).chain(more).map(|&needle| needle.to_owned()));
        }
        for name in named {
            patterns.extend([name.clone(), name.to_ascii_lowercase(), name.to_ascii_uppercase()]);
        }
        let search = || {
            if let Some(searcher) = Searcher::new(&patterns) {
                return Some(Search::Packed(searcher));
            }
            AhoCorasick::new(&patterns).ok().map(Search::Automaton)
        };
        let search = (!patterns.is_empty()).then(search).flatten().map(Arc::new);
        Self { search, emails: recognised && has_key }
    }

    /// Whether e-mail addresses are looked for.
    pub(super) fn emails(&self) -> bool {
        self.emails
    }

    /// Where the first of them stands.
    pub(super) fn find(&self, text: &[u8]) -> Option<usize> {
        let first = self.next(text, 0).map(|found| found.start);
        if !self.emails {
            return first;
        }
        // (what stands later need not be looked for)
        let text = &text[..first.unwrap_or(text.len())];
        memchr::memchr(b'@', text).or(first)
    }

    /// The first one from a place on, but for e-mail addresses.
    pub(super) fn next(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        let rest = text.get(from..)?;
        let found = match &**self.search.as_ref()? {
            Search::Packed(searcher) => searcher.find(rest),
            Search::Automaton(automaton) => automaton.find(rest),
        }?;
        Some(from + found.start()..from + found.end())
    }
}
