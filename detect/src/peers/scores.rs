//! How odd a client is among its peers.
//!
//! A score is the Euclidean length of the distances from the group's medians, each in units of the group's own spread. Scores have no
//! scale that one could know beforehand, so beside each stands its conformal p-value: the share of the group, the client itself included,
//! whose score is at least as high (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; label-conditional, with
//! the group as the label). If the members of a group are exchangeable, P(p ≤ α) ≤ α; it is never below 1 / the group's size, and in every
//! group somebody has that.

use std::sync::Arc;

use super::features::{Features, Usual};

/// A group.
#[derive(Debug)]
pub struct Group {
    /// 0 is the largest.
    pub number: i64,
    /// How many are in it.
    pub members: u64,
    /// What is usual in it, by feature; `None` where nobody has a number.
    pub usual: Vec<Option<Usual>>,
}

/// A client among its peers.
#[derive(Debug, Clone)]
pub struct Scored {
    /// Its group.
    pub group: Arc<Group>,
    /// 0: in nothing different from the group's medians.
    pub score: f64,
    /// See the module.
    pub p_value: f64,
    /// The feature in which it is farthest from them, and its value there. `None`: in none.
    pub top: Option<(usize, f64)>,
}

/// Scores rows that are in these groups, in the order of [`Features::rows`]. `None`: a row has no peers.
pub fn score(features: &Features, groups: Option<Vec<usize>>) -> Vec<Option<Scored>> {
    let Some(groups) = groups else { return vec![None; features.len()] };
    let of_all: Vec<Option<Usual>> =
        features.columns.iter().map(|values| Usual::of(values.iter().flatten().copied())).collect();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (place, &group) in groups.iter().enumerate() {
        if members.len() <= group {
            members.resize_with(group + 1, Vec::new);
        }
        members[group].push(place);
    }
    let mut scored: Vec<Option<Scored>> = vec![None; features.len()];
    for (number, places) in members.iter().enumerate() {
        let usual = features.columns.iter().zip(&of_all).map(|(values, of_all)| {
            let usual = Usual::of(places.iter().filter_map(|&place| values[place]))?;
            // Where all of the group are equal, all clients say what a difference weighs.
            Some(Usual { spread: usual.spread.or(of_all.and_then(|all| all.spread)), ..usual })
        });
        let group = Arc::new(Group {
            number: i64::try_from(number).unwrap_or(i64::MAX),
            members: places.len() as u64,
            usual: usual.collect(),
        });
        let mut of_group: Vec<(usize, Scored)> =
            places.iter().map(|&place| (place, alone(features, &group, place))).collect();
        rank(&mut of_group);
        for (place, one) in of_group {
            scored[place] = Some(one);
        }
    }
    scored
}

/// Without its p-value.
fn alone(features: &Features, group: &Arc<Group>, place: usize) -> Scored {
    let (mut squares, mut top, mut farthest) = (0.0, None, 0.0);
    for (feature, (values, usual)) in features.columns.iter().zip(&group.usual).enumerate() {
        let distance = usual.map_or(0.0, |usual| usual.distance(values[place]));
        squares += distance * distance;
        if distance.abs() > farthest {
            (farthest, top) = (distance.abs(), values[place].map(|value| (feature, value)));
        }
    }
    Scored { group: Arc::clone(group), score: squares.sqrt(), p_value: 1.0, top }
}

/// Sets the p-values of a whole group.
#[expect(clippy::cast_precision_loss, reason = "not that many clients")]
fn rank(group: &mut [(usize, Scored)]) {
    group.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    let members = group.len();
    // From the lowest: equal scores have equal p-values, that of the last of them.
    let (mut last, mut equal) = (members, None);
    for place in (0..members).rev() {
        let score = group[place].1.score;
        if equal.is_some_and(|equal: f64| equal.total_cmp(&score).is_ne()) {
            last = place + 1;
        }
        equal = Some(score);
        group[place].1.p_value = last as f64 / members as f64;
    }
}
