//! What is counted of one route.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Request;
use crate::engine::state::sketch::{Estimator, REGISTERS, SPARSE_LIMIT, observe};

/// Methods told apart on one route; further ones, which only attackers send, are one.
const MAX_METHODS: usize = 12;
/// What the methods that are not told apart are called.
const OTHER: &str = "other";

/// The requests of one route.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// How many.
    pub requests: u64,
    /// By the first digit of the status; at 0 those without one.
    pub statuses: [u64; 6],
    /// By method.
    pub methods: BTreeMap<String, Method>,
    /// Different clients.
    pub clients: Distinct,
    /// Different objects.
    pub objects: Distinct,
    /// The oldest request, µs.
    pub first: i64,
    /// The newest, µs.
    pub last: i64,
}

/// The requests of one route and method.
#[derive(Debug, Clone, Default)]
pub struct Method {
    /// How many.
    pub requests: u64,
    /// How many of them were answered.
    pub answered: u64,
    /// Different clients.
    pub clients: Distinct,
    /// The oldest, µs.
    pub first: i64,
    /// The newest, µs.
    pub last: i64,
}

impl Stats {
    pub(super) fn add(&mut self, request: &Request<'_>) {
        let class = request.status.map_or(0, |status| usize::from(status / 100).min(5));
        self.statuses[class] += 1;
        span(&mut self.first, &mut self.last, self.requests, request.ts);
        self.requests += 1;
        let client = hash(request.client);
        self.clients.add(client);
        if let Some(object) = request.object {
            self.objects.add(hash(object));
        }
        if let Some(name) = request.method {
            let method = self.method(name);
            span(&mut method.first, &mut method.last, method.requests, request.ts);
            method.requests += 1;
            method.answered += u64::from(request.is_answered());
            method.clients.add(client);
        }
    }

    fn method(&mut self, name: &str) -> &mut Method {
        let is_plain = name.len() <= 16 && name.bytes().all(|b| b.is_ascii_uppercase());
        let is_new = is_plain && !self.methods.contains_key(name);
        let name = if !is_plain || (is_new && self.methods.len() >= MAX_METHODS) { OTHER } else { name };
        self.methods.entry(name.to_owned()).or_default()
    }

    /// Adds what was counted elsewhere.
    pub(super) fn merge(&mut self, other: &Self) {
        merge_span((&mut self.first, &mut self.last, self.requests), (other.first, other.last, other.requests));
        self.requests += other.requests;
        for (count, more) in self.statuses.iter_mut().zip(other.statuses) {
            *count += more;
        }
        self.clients.merge(&other.clients);
        self.objects.merge(&other.objects);
        for (name, more) in &other.methods {
            let method = self.method(name);
            merge_span((&mut method.first, &mut method.last, method.requests), (more.first, more.last, more.requests));
            method.requests += more.requests;
            method.answered += more.answered;
            method.clients.merge(&more.clients);
        }
    }
}

fn span(first: &mut i64, last: &mut i64, before: u64, ts: i64) {
    merge_span((first, last, before), (ts, ts, 1));
}

fn merge_span(to: (&mut i64, &mut i64, u64), from: (i64, i64, u64)) {
    let ((first, last, before), (more_first, more_last, more)) = (to, from);
    if before == 0 {
        (*first, *last) = (more_first, more_last);
    } else if more > 0 {
        (*first, *last) = ((*first).min(more_first), (*last).max(more_last));
    }
}

fn hash(text: &str) -> u64 {
    // (with fixed keys: the same log gives the same estimates)
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// How many different values there are: exactly up to 256, then by the sketch of `approx_distinct` (standard error 0.8 %).
#[derive(Debug, Clone, Default)]
pub struct Distinct {
    /// Sorted, while there are few.
    hashes: Vec<u64>,
    registers: Option<Box<[u8]>>,
}

impl Distinct {
    fn add(&mut self, hash: u64) {
        if let Some(registers) = &mut self.registers {
            return observe(registers, hash);
        }
        if let Err(place) = self.hashes.binary_search(&hash) {
            self.hashes.insert(place, hash);
        }
        if self.hashes.len() > SPARSE_LIMIT {
            let mut registers = vec![0; REGISTERS].into_boxed_slice();
            self.hashes.drain(..).for_each(|hash| observe(&mut registers, hash));
            self.hashes.shrink_to_fit();
            self.registers = Some(registers);
        }
    }

    fn merge(&mut self, other: &Self) {
        other.hashes.iter().for_each(|hash| self.add(*hash));
        let Some(more) = &other.registers else { return };
        if let Some(registers) = &mut self.registers {
            registers.iter_mut().zip(more).for_each(|(own, more)| *own = (*own).max(*more));
            return;
        }
        let mut registers = more.clone();
        self.hashes.drain(..).for_each(|hash| observe(&mut registers, hash));
        self.registers = Some(registers);
    }

    /// How many.
    pub fn count(&self, estimator: &mut Estimator) -> u64 {
        self.registers.as_ref().map_or(self.hashes.len() as u64, |registers| estimator.estimate(registers))
    }
}
