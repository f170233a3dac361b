//! Who behaves alike: k-means (Lloyd, with the seeds of k-means++, Arthur and Vassilvitskii 2007) over a sample of the clients.

use datafusion::common::{DataFusionError, Result};
use linfa::DatasetBase;
use linfa::prelude::{Fit, Predict};
use linfa_clustering::KMeans;
use ndarray::{Array2, s};
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;

use super::Spec;
use super::features::{Features, Usual};

/// Nobody is further from what is usual than this, when groups are looked for: who is out of all proportion must not get a group to
/// himself at the expense of the others.
const FARTHEST: f64 = 4.0;
/// k-means finds the best groups near where it begins: it begins so often.
const TRIES: usize = 3;
const MOST_STEPS: u64 = 60;
const SEED: u64 = 0x7472_6970_6C69_6E65;

/// The group of each of the rows, in their order; groups are numbered by their size, the largest is 0. `None`: too few rows for a group.
pub fn groups(features: &Features, spec: &Spec) -> Result<Option<Vec<usize>>> {
    let rows = features.len();
    if rows < spec.min_members {
        return Ok(None);
    }
    let points = points(features);
    let sample = points.slice(s![..rows.min(spec.sample), ..]).to_owned();
    // Half as many as there could be, so that hardly any is too small.
    let most = (sample.nrows() / (2 * spec.min_members)).clamp(1, spec.groups);
    if most == 1 {
        return Ok(Some(vec![0; rows]));
    }
    let failed = |e: &dyn std::fmt::Display| DataFusionError::Execution(format!("peer groups cannot be found: {e}"));
    let model = KMeans::params_with_rng(most, Xoshiro256Plus::seed_from_u64(SEED))
        .n_runs(TRIES)
        .max_n_iterations(MOST_STEPS)
        .fit(&DatasetBase::from(sample))
        .map_err(|e| failed(&e))?;
    let nearest: Vec<usize> = model.predict(&points).to_vec();
    Ok(Some(large_enough(&nearest, &points, model.centroids(), spec.min_members)))
}

/// On a scale that is common to all features and that nobody stretches.
fn points(features: &Features) -> Array2<f64> {
    let mut points = Array2::zeros((features.len(), features.columns.len()));
    for (number, values) in features.columns.iter().enumerate() {
        let Some(usual) = Usual::of(values.iter().flatten().copied()) else { continue };
        for (place, &value) in points.column_mut(number).iter_mut().zip(values) {
            *place = usual.distance(value).clamp(-FARTHEST, FARTHEST);
        }
    }
    points
}

/// Dissolves groups that are too small: their members go to the nearest of the others. Numbers the groups by their size.
fn large_enough(nearest: &[usize], points: &Array2<f64>, centres: &Array2<f64>, least: usize) -> Vec<usize> {
    let mut sizes = vec![0usize; centres.nrows()];
    for &group in nearest {
        sizes[group] += 1;
    }
    let large: Vec<usize> = (0..sizes.len()).filter(|&group| sizes[group] >= least).collect();
    let distance = |row: usize, group: usize| -> f64 {
        points.row(row).iter().zip(centres.row(group)).map(|(x, c)| (x - c) * (x - c)).sum()
    };
    let closest = |row: usize| {
        let by_distance = |a: &&usize, b: &&usize| distance(row, **a).total_cmp(&distance(row, **b));
        // (none is large enough: all are one group)
        large.iter().min_by(by_distance).copied().unwrap_or(0)
    };
    let place = |(row, &group): (usize, &usize)| if large.contains(&group) { group } else { closest(row) };
    let placed: Vec<usize> = nearest.iter().enumerate().map(place).collect();

    let mut sizes = vec![0usize; sizes.len()];
    for &group in &placed {
        sizes[group] += 1;
    }
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&group| std::cmp::Reverse(sizes[group]));
    let mut number = vec![0; sizes.len()];
    order.into_iter().enumerate().for_each(|(place, group)| number[group] = place);
    placed.into_iter().map(|group| number[group]).collect()
}
