//! Work beside each other: as many at a time as the runtime has threads.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Runs `work` for every item and returns the results in the items' order.
pub async fn each<T, R, F>(items: Vec<T>, mut work: impl FnMut(T) -> F) -> Result<Vec<R>>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    // (a plan yields to others before it is done: all begun at once, they would all hold what they work on)
    let places = Arc::new(Semaphore::new(Handle::current().metrics().num_workers()));
    let mut tasks = JoinSet::new();
    for (i, item) in items.into_iter().enumerate() {
        let (task, places) = (work(item), Arc::clone(&places));
        tasks.spawn(async move {
            let _place = places.acquire_owned().await;
            (i, task.await)
        });
    }
    let mut done = BTreeMap::new();
    while let Some(result) = tasks.join_next().await {
        let (i, result) = result.map_err(|e| DataFusionError::External(Box::new(e)))?;
        done.insert(i, result);
    }
    Ok(done.into_values().collect())
}

/// Runs a rule's work; a panic in it is an error of that rule.
pub async fn guarded<R>(work: impl Future<Output = Result<R>>) -> Result<R> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(exec_datafusion_err!("{}", said(&panic))))
}

fn said(panic: &Box<dyn Any + Send>) -> String {
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a function gave up: {}", text.unwrap_or_default())
}
