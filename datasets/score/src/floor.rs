//! What no detector could beat: the records that an oracle needs which knows the model and the campaign.
//!
//! Wald's and Lorden's bound: the mean number of requests until a test that errs once in `ARL` requests is sure is
//! ln(ARL) / KL(p₁ ‖ p₀), with p₀ and p₁ the chance that a request is of the telling kind without and with the campaign. The
//! telling kind: for one client, an id that follows its last one, or an object it had not asked for before; for the route, an
//! object that nobody had asked for before. p₀ is measured on the simulated traffic. ARL: the requests that the route gets in 30
//! days.

use crate::site::Organic;
use tripline_datasets::world::plan::{Order, Plan, Turns};

const ARL_SECONDS: f64 = 30.0 * 86_400.0;

/// The floor, records; None where requests tell nothing apart.
pub fn floor(plan: &Plan, organic: &Organic) -> Option<f64> {
    if !plan.logged || organic.requests == 0 || plan.batch > 1 {
        return None;
    }
    let share = |count: u64| (count as f64 / organic.requests as f64).clamp(0.001, 0.999);
    let arl = ((organic.rate * ARL_SECONDS).max(1_000.0)).ln();
    // One client alone: all that it asks for is new to it.
    let alone = |p0: f64| arl / kl(0.999_9, p0) * plan.hit_ratio;
    let in_order = plan.order == Order::Sequential && (plan.identities == 1 || plan.turns == Turns::Blocks);
    let p0 = if in_order { share(organic.steps).max(0.01) } else { share(organic.new_to_client) };
    let by_clients = alone(p0) * plan.identities as f64;
    // All clients together.
    let attack = plan.rate / (plan.rate + organic.rate);
    let p0 = share(organic.new_to_route);
    let by_route = attack * arl / kl(attack + (1.0 - attack) * p0, p0) * plan.hit_ratio;
    Some(by_clients.min(by_route).max(1.0))
}

/// The divergence of two coins.
fn kl(p1: f64, p0: f64) -> f64 {
    let term = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    term(p1, p0) + term(1.0 - p1, 1.0 - p0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the project's notes: 100 requests/s, 5 % new objects, ARL 30 days.
    #[test]
    fn a_share_of_a_route() {
        let organic = Organic { requests: 10_000, rate: 99.0, new_to_route: 500, new_to_client: 10_000, steps: 0 };
        let plan = Plan { rate: 1.0, identities: 10_000, order: Order::Random, ..Plan::BASE };
        let records = floor(&plan, &organic).expect("a floor");
        assert!((records - 218.0).abs() < 3.0, "{records}");
    }

    #[test]
    fn one_client_in_order_and_not() {
        let organic = Organic { requests: 10_000, rate: 100.0, new_to_route: 9_990, new_to_client: 5_000, steps: 100 };
        assert!((3.0..6.0).contains(&floor(&Plan::BASE, &organic).expect("a floor")));
        let shuffled = Plan { order: Order::Random, ..Plan::BASE };
        assert!((25.0..35.0).contains(&floor(&shuffled, &organic).expect("a floor")));
    }
}
